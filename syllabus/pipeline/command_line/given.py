"""The arguments that several commands have in common."""

import json
from typing import Annotated, Any

import typer

from syllabus.pipeline.errors import UserError

Location = Annotated[str, typer.Argument(help="Directory of the manifest.", metavar="MANIFEST")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


def check_given(**values: str | None) -> None:
    """Refuse an empty name, as a shell makes of a variable that is not set: it is no directory."""
    for name, value in values.items():
        if value == "":
            raise UserError(f"{name}='': is empty")


def print_json(found: dict[str, Any]) -> None:
    """Print a value as one line of JSON; what no terminal should get is escaped by it."""
    print(json.dumps(found))
