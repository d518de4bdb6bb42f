"""The arguments that several commands have in common."""

from typing import Annotated

import typer

from syllabus.pipeline.errors import UserError

Location = Annotated[str, typer.Argument(help="Directory of the manifest.", metavar="MANIFEST")]


def check_given(**values: str | None) -> None:
    """Refuse an empty name, as a shell makes of a variable that is not set: it is no directory."""
    for name, value in values.items():
        if value == "":
            raise UserError(f"{name}='': is empty")
