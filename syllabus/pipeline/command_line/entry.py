"""The console script ``syllabus``."""

import gc
import os
import signal
import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line; without the `pipeline` extra, say how to get it."""
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
    sys.exit(run(sys.argv[1:]))


def _terminate(number: int, _: object) -> None:
    """Say what Ctrl-C says, and leave: a scheduler kills soon after, Beam would wait for its shards first."""
    os.write(2, b"syllabus: interrupted; finished shards are kept\n")
    os._exit(128 + number)
