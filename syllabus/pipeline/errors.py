"""The two ways a job ends badly; the command line turns them into exit codes."""

from collections.abc import Iterator
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
