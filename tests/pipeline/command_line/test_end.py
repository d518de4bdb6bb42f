"""The end of the console script: nothing of the output is lost, and no thread holds the process."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import atexit, sys, threading
from syllabus.pipeline.command_line.entry import main
atexit.register(print, "servers stopped", file=sys.stderr)
threading.Thread(target=threading.Event().wait).start()  # as a library's that still waits for something
sys.argv = ["syllabus", {argument!r}]
main()
"""


def end(argument: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT.format(argument=argument)]
    return subprocess.run(
        command, stderr=subprocess.PIPE, text=True, timeout=60, cwd=Path(__file__).parents[3], **options
    )


@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("--nothing", 2)])
def test_exit_functions_run_and_a_thread_does_not_hold_the_process(argument: str, code: int) -> None:
    ended = end(argument, stdout=subprocess.PIPE)
    assert ended.returncode == code
    assert ended.stderr.splitlines()[-1] == "servers stopped"
    assert ("syllabus 0" in ended.stdout) == (code == 0)


def test_output_that_cannot_be_written_is_an_error_of_one_line() -> None:
    full_disk = Path("/dev/full")
    if not full_disk.exists():
        pytest.skip("there is no /dev/full")
    with full_disk.open("w") as full:
        ended = end("--version", stdout=full)
    assert ended.returncode == 1
    first, last = ended.stderr.splitlines()
    assert first == "syllabus: [Errno 28] No space left on device"
    assert last == "servers stopped"
