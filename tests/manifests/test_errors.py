"""The first line of another library's error."""

import pytest

from syllabus.manifests.errors import first_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("no such file", "no such file"),
        ("no such file\nat 0x1\n", "no such file"),
        ("\n  \nno such file", "no such file"),
        ("", "EOFError"),
        (" \n", "EOFError"),
    ],
)
def test_the_first_line_of_an_error(message, line):
    assert first_line(EOFError(message)) == line


def test_an_error_without_a_message_gives_its_class():
    assert first_line(TimeoutError()) == "TimeoutError"
