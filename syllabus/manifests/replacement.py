"""A local directory replaced whole by another one beside it, and what an interrupted replacement leaves.

Beside the directory ``m`` lie ``.m.<12 hexadecimal digits>.new``, written by one who is to replace it, and
``.m.<the same>.old`` for the moment between two renames where the system cannot exchange two names at once.
"""

import ctypes
import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from syllabus.manifests.storage import sync_directory

NEW, OLD = ".new", ".old"
_TOKEN = re.compile(r"[0-9a-f]{12}")
_UNABLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_AT_CWD, _EXCHANGE = -100, 2


def make_beside(target: Path) -> Path:
    """Make an empty directory beside `target`, which may replace it; OSError where none can be.

    Both are on one filesystem.
    """
    staged = target.with_name(f".{target.name}.{secrets.token_hex(6)}{NEW}")
    staged.mkdir()
    try:
        if os.path.ismount(target) or staged.stat().st_dev != target.stat().st_dev:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(target))
        if _is_anothers(target):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(target))
    except OSError:
        staged.rmdir()
        raise
    return staged


def replace(target: Path, staged: Path) -> Path:
    """Give `staged` the name, group and permissions of `target`; return where that one, whole, is now.

    In one step where the system can. Else in two renames, and if the second fails, the first is undone.
    """
    if hasattr(os, "chown"):
        with suppress(OSError):  # a group that this user is not in
            os.chown(staged, -1, target.stat().st_gid)
    shutil.copymode(target, staged)
    if _exchange(target, staged):
        aside = staged
    else:
        aside = staged.with_suffix(OLD)
        try:
            target.rename(aside)
            staged.rename(target)
        except BaseException:
            if aside.exists() and not target.exists():
                aside.rename(target)
            raise
    sync_directory(target.parent)
    return aside


def leftovers(target: Path) -> list[Path]:
    """Return the directories beside `target` that are replacing it, or that killed replacements left."""
    start = f".{target.name}."
    try:
        names = sorted(path.name for path in target.parent.iterdir())
    except OSError:
        return []
    return [
        target.parent / name
        for name in names
        if name.startswith(start)
        and name.endswith((NEW, OLD))
        and _TOKEN.fullmatch(name[len(start) : -len(NEW)])
        and not (target.parent / name).is_symlink()
    ]


def interrupted(target: Path) -> Path | None:
    """Return the directory that was to become `target` when its replacement ended between two renames.

    None where that did not happen: only then are both names beside it, and nothing is there.
    """
    if os.path.lexists(target) and not _is_empty(target):
        return None
    beside = leftovers(target)
    pairs = [each for each in beside if each.suffix == NEW and each.with_suffix(OLD) in beside]
    return pairs[0] if pairs else None


def finish(target: Path) -> bool:
    """End a replacement that was interrupted, as it was meant to; return whether there was one."""
    staged = interrupted(target)
    if staged is None:
        return False
    # Over nothing, or an empty directory: anything else makes it fail.
    with suppress(FileNotFoundError):  # another job did it
        staged.rename(target)
    sync_directory(target.parent)
    return True


def _is_anothers(target: Path) -> bool:
    """Whether only another user may rename a directory, as in /tmp: the directory above is sticky."""
    if not hasattr(os, "geteuid"):
        return False
    above = target.parent.stat()
    owners = (0, above.st_uid, target.stat().st_uid)
    return bool(above.st_mode & stat.S_ISVTX) and os.geteuid() not in owners


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return False, with nothing done, where the system cannot."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(one))


@cache
def _renameat2() -> Callable[..., int] | None:
    """Return Linux's call, which exchanges two names; None where the C library has none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    exchange: Callable[..., int] = function
    return exchange
