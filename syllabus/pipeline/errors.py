"""Errors of a job, which the command line turns into exit codes, and their lines on misspelt names."""

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """The user's mistake, found before any work is lost: one line that says what and where (exit code 2)."""


class JobError(RuntimeError):
    """The job cannot go on, and what it wrote so far is kept for the next run (exit code 1)."""


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Name the option whose files a mistake is in: they are read as a source is, and are none."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{option} {str(error).removeprefix('source ')}") from None


def suggestion(kind: str, name: str, known: Iterable[str]) -> str:
    """Return one line: `name` is unknown, with the nearest of the `known` names or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"{kind} {name!r} is unknown; did you mean {near[0]!r}?"
    return f"{kind} {name!r} is unknown; known: {', '.join(names)}"


def printable(text: str) -> str:
    """Return text as a terminal may show it: control and format characters are spelled out, as in Python.

    A name of a file or column may hold whatever moves a cursor, or turns the direction of writing.
    """
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        repr(character)[1:-1] if unicodedata.category(character) in hidden else character
        for character in text
    )
