"""The console script ``syllabus``."""

import sys


def main() -> None:
    """Run the command line; without the `pipeline` extra, say how to get it."""
    try:
        from syllabus.pipeline.command_line.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("syllabus"):
            raise
        sys.exit(
            f"syllabus: {error.name} is missing; the command line needs: pip install 'syllabus[pipeline,cpu]'"
        )
    sys.exit(run(sys.argv[1:]))
