"""Lines for people on a console: text of the data goes through here, or through `cell` into a table."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from syllabus.pipeline.errors import printable


class WarningsOnly(Console):
    """A quiet console that still gets warnings."""

    def __init__(self, **options: Any) -> None:
        super().__init__(quiet=True, **options)


def say(console: Console, line: str, wrap: bool = False) -> None:
    """Print a line as it is: no markup, no orders to the terminal; with `wrap` broken at its width."""
    console.print(printable(line), soft_wrap=not wrap, markup=False, emoji=False, highlight=False)


def warn(console: Console, line: str, wrap: bool = False) -> None:
    """Print a line of warning, as `say` does."""
    quiet = console.quiet
    console.quiet = quiet and not isinstance(console, WarningsOnly)
    try:
        console.print(Text.assemble(("warning:", "yellow"), f" {printable(line)}"), soft_wrap=not wrap)
    finally:
        console.quiet = quiet


def cell(text: str, width: int) -> Text:
    """Return a name from the data as one line of text: no markup, not wider than the column."""
    # Line breaks are shown as spaces, other controls as what they are.
    shown = Text(printable(" ".join(text.split())) or repr(text))
    shown.truncate(width, overflow="ellipsis")
    return shown


def tail(text: str, width: int) -> str:
    """Return a path from the data as one line of text, cut where all may begin alike: in front."""
    shown = printable(" ".join(text.split()))
    if cell_len(shown) <= width:
        return shown
    while cell_len(shown) >= width:
        shown = shown[1:]
    return f"…{shown}"
