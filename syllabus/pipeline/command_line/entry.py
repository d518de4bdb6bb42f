"""The console script ``syllabus``."""

import atexit
import gc
import os
import signal
import sys
from io import TextIOWrapper
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end the process."""
    _leave(command())


def command() -> int:
    """Run the command line, return its exit code; without the `pipeline` extra, say how to get it."""
    # Imports and compilation make a million objects that stay. At the default of 700 the collector walks them
    # again and again: a fifth of the time of a small job.
    gc.set_threshold(5000, 20, 10)
    try:
        from syllabus.pipeline.command_line.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("syllabus"):
            raise
        sys.exit(
            f"syllabus: {error.name} is missing; the command line needs: pip install 'syllabus[pipeline,cpu]'"
        )
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal or a pipe that is no UTF-8 gets what it has no character for escaped, not a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    return run(sys.argv[1:])


def _leave(code: int) -> NoReturn:
    """End the process, without the interpreter's own end.

    To take the modules of a job apart takes most of a second, and a thread of a library that still runs then
    may abort the process after all is done.
    """
    atexit._run_exitfuncs()  # as Python does: Beam stops its servers there
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (
            OSError,
            ValueError,
        ) as error:  # the reader of a pipe has left, the disk is full, it is closed
            code = code or 1
            if stream is sys.stdout and sys.stderr and not isinstance(error, BrokenPipeError):
                print(f"syllabus: {error}", file=sys.stderr)
    os._exit(code)


def _terminate(number: int, _: object) -> None:
    """Say what Ctrl-C says, and leave: a scheduler kills soon after, Beam would wait for its shards first."""
    os.write(2, b"syllabus: interrupted; finished shards are kept\n")
    os._exit(128 + number)
