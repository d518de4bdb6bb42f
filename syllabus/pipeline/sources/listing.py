"""Listing of a source's folder: each file once, under one name.

A local folder is walked by the real paths of its folders, so that no link leads round in a circle. A file
that lies in the source goes by its own name, whatever links lead to it. One that lies elsewhere goes by the
first of its links in canonical order, and only if links may lead out of the source.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import UserError

OTHER_KIND = "files of another kind"
SECOND_NAME = "links to what is read under another name"


class LeftOut(NamedTuple):
    """A name that is not read, and what it is one of."""

    name: str
    why: str


def list_files(
    store: Store, is_data: Callable[[str], bool], follow_links: bool
) -> tuple[list[str], list[LeftOut]]:
    """Return the files of a folder whose names `is_data`, in canonical order, and what is left out.

    Names that begin with a dot or an underscore are not looked at. Only local folders have links.

    Raises:
      UserError: what has the name of data is no file, or a link leads nowhere, out of the source without
        `follow_links`, or to a folder around it; a folder cannot be listed; a name is not UTF-8.
    """
    try:
        if store.is_local:
            return _Walk(store, is_data, follow_links).files()
        names = [name for name in store.files() if not any(map(_is_hidden, name.split("/")))]
    except OSError as error:
        raise UserError(f"source {store.url()}: cannot be listed: {first_line(error)}") from None
    except UnicodeError as error:
        shown = error.object if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else error
        named = os.fsencode(shown) if isinstance(shown, str) else shown
        raise UserError(f"source {store.url()}: a file name is not UTF-8: {named!r}") from None
    ordered = sorted(names, key=canonical)
    others = [LeftOut(name, OTHER_KIND) for name in ordered if not is_data(name)]
    return [name for name in ordered if is_data(name)], others


def canonical(name: str) -> list[bytes]:
    """Return what canonical order compares: the UTF-8 components of a path relative to the source."""
    return [part.encode() for part in name.split("/")]


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "_"))


class _Walk:
    """The walk of one local folder."""

    def __init__(self, store: Store, is_data: Callable[[str], bool], follow_links: bool) -> None:
        self._source, self._is_data, self._follow_links = store.url(), is_data, follow_links
        self._root = os.path.realpath(store.path())
        self._folders = {self._root}
        """Real paths of the folders that were listed, or will be."""
        self._own: set[str] = set()
        """Names of the files that are reached without a link."""
        self._names: dict[str, list[str]] = {}
        """The names of each file, by its real path."""
        self._links: list[tuple[list[bytes], str, str]] = []
        """A heap of (what canonical order compares, name, path): the first link to a folder names it."""
        self._left_out: list[LeftOut] = []

    def files(self) -> tuple[list[str], list[LeftOut]]:
        self._list("", self._root, own=True)
        while self._links:
            _, name, path = heapq.heappop(self._links)
            self._follow(name, path)
        kept = []
        for names in self._names.values():
            first = next((name for name in names if name in self._own), None)
            kept.append(first or min(names, key=canonical))
            self._left_out += [LeftOut(name, SECOND_NAME) for name in names if name != kept[-1]]
        return sorted(kept, key=canonical), sorted(self._left_out, key=lambda left: canonical(left.name))

    def _list(self, name: str, path: str, own: bool) -> None:
        """List a folder, and those below it that no link leads to; `own` where no link led here."""
        waiting = [(name, path)]
        while waiting:
            folder, real = waiting.pop()
            for entry in self._entries(real):
                inner = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_symlink():
                    heapq.heappush(self._links, (canonical(inner), inner, entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    if entry.path not in self._folders:
                        self._folders.add(entry.path)
                        waiting.append((inner, entry.path))
                elif entry.is_file(follow_symlinks=False):
                    self._add(inner, entry.path, own)
                else:
                    self._refuse_special(inner)

    def _entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        with os.scandir(path) as entries:
            for entry in entries:
                entry.name.encode()  # a name that is not UTF-8 has no place in canonical order
                if not _is_hidden(entry.name):
                    yield entry

    def _add(self, name: str, real: str, own: bool) -> None:
        if not self._is_data(name):
            self._left_out.append(LeftOut(name, OTHER_KIND))
            return
        self._names.setdefault(real, []).append(name)
        if own:
            self._own.add(name)

    def _follow(self, name: str, path: str) -> None:
        """Add what a link leads to."""
        real = os.path.realpath(path)
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 - one call tells all kinds
        except OSError:  # of links in a circle too
            if self._is_data(name):
                raise self._refused(name, "is a link that leads nowhere") from None
            self._left_out.append(LeftOut(name, "links that lead nowhere"))
            return
        if stat.S_ISDIR(mode):
            if real in self._folders:
                self._left_out.append(LeftOut(name, SECOND_NAME))
                return
            if self._root.startswith(real.rstrip("/") + "/"):
                raise self._refused(name, f"is a link to {real}, a folder that holds the source")
            self._check_inside(name, real)
            self._folders.add(real)
            self._list(name, real, own=False)
        elif stat.S_ISREG(mode):
            if self._is_data(name):
                self._check_inside(name, real)
            self._add(name, real, own=False)
        else:
            self._refuse_special(name)

    def _check_inside(self, name: str, real: str) -> None:
        if not (self._follow_links or real.startswith(self._root.rstrip("/") + "/")):
            raise self._refused(
                name, f"is a link that leads out of the source, to {real}; --follow-links reads it"
            )

    def _refuse_special(self, name: str) -> None:
        if self._is_data(name):
            raise self._refused(name, "is a pipe, a socket or a device, and no file")
        self._left_out.append(LeftOut(name, OTHER_KIND))

    def _refused(self, name: str, why: str) -> UserError:
        return UserError(f"source {self._source}: {name} {why}")
