"""The two ways a job ends badly; the command line turns them into exit codes."""


class UserError(ValueError):
    """The user's mistake, found before any work is lost: one line that says what and where (exit code 2)."""


class JobError(RuntimeError):
    """The job cannot go on, and what it wrote so far is kept for the next run (exit code 1)."""
