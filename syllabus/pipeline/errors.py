"""Errors of a job, which the command line turns into exit codes, and their lines on misspelt names."""

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

SHOWN = 200
"""Characters of a value that a message quotes at most."""


class UserError(ValueError):
    """The user's mistake, found before any work is lost: one line that says what and where (exit code 2)."""


class JobError(RuntimeError):
    """The job cannot go on, and what it wrote so far is kept for the next run (exit code 1)."""


class ShardError(JobError):
    """A shard is damaged, or not there any more: it is out of the way, and the next run makes it again."""


class UnitError(RuntimeError):
    """A worker failed at a unit of work: one line that names the unit first."""


@contextmanager
def working_on(unit: str) -> Iterator[None]:
    """Name the unit of work that a worker fails at; errors that say where they come from stay."""
    try:
        yield
    except (UserError, JobError, UnitError):
        raise
    except Exception as error:
        from syllabus.manifests.errors import first_line  # loads pyarrow

        name, line = type(error).__name__, first_line(error)
        # Not `from error`: the first cause alone is told, and that should be the unit.
        raise UnitError(f"{unit}: {name}: {line}" if line != name else f"{unit}: {name}")  # noqa: B904


def printable(text: str) -> str:
    """Return `text` on one line as a terminal may show it: names and values of the data may hold anything.

    Controls, line separators, halves of characters, and marks that turn the direction of text are escaped.
    """
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(repr(each)[1:-1] if unicodedata.category(each) in hidden else each for each in text)


def quoted(value: object) -> str:
    """Return ``repr(value)`` as a message quotes it: cut where it is long, whatever the value is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # lists in lists in lists; a number of thousands of digits
        return f"{type(value).__name__} too large to show"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text):,} characters)"


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
    # A name of a million letters is near to none, and takes minutes to compare.
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6) if len(name) <= SHOWN else []
    if near:
        return f"{kind} {quoted(name)} is unknown; did you mean {near[0]!r}?"
    return f"{kind} {quoted(name)} is unknown; known: {', '.join(map(printable, names))}"
