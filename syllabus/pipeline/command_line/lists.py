"""The commands that list what may be wrong with the data."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from syllabus.pipeline.command_line.given import Location, check_given
from syllabus.pipeline.errors import printable

Output = Annotated[
    str | None, typer.Option(help="File to write all rows to: .csv, .jsonl or .parquet.", metavar="FILE")
]
Source = Annotated[
    str | None,
    typer.Option(
        help="The data set: shows its texts whole. It must be the one that the manifest was made from.",
        metavar="PATH",
    ),
]
Text = Annotated[
    str | None,
    typer.Option(help="Column of SOURCE to show. [default: the text that was encoded]", metavar="COLUMN"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")]


HELP = {
    "suspects": """List the examples whose label none of their nearest neighbours has, the surest first.

    For numbers, those that are far from the mean of their neighbours.""",
    "duplicates": "List the examples that have near-duplicates, by group: those of several labels first.",
    "holdout": """List the test rows that are near-duplicates of examples, the nearest pair first.

    SOURCE is the data set of the examples; of test rows the first 200 have their beginning.""",
}


def list_command(name: str, limit: int) -> Callable[..., None]:
    """Return the command that prints `limit` entries of a list, or writes all of them to a file."""
    what = "Groups" if name == "duplicates" else "Rows"
    Limit = Annotated[int, typer.Option(help=f"{what} to show on the terminal.", min=1)]

    def run(
        manifest: Location,
        output: Output = None,
        source: Source = None,
        text: Text = None,
        limit: Limit = limit,
        overwrite: Overwrite = False,
    ) -> None:
        from rich.console import Console

        import syllabus.manifests as manifests
        from syllabus.pipeline.errors import UserError
        from syllabus.pipeline.reporting import hygiene_tables

        check_given(manifest=manifest, output=output, source=source, text=text)
        if text is not None and source is None:
            raise UserError(f"text={text!r}: is a column of the source: give it by --source")
        if overwrite and output is None:
            raise UserError("overwrite: is of use with --output alone")
        file = None
        if output is not None:
            file = manifests.PlainFile(name, output, overwrite=overwrite)
        opened = manifests.Manifest.open(manifest)
        rows = getattr(manifests, f"list_{name}")(opened)
        if source is not None:
            from syllabus.pipeline.source_texts import source_texts

            found = source_texts(opened, source, rows["index"].to_numpy(), text)
            place = rows.schema.get_field_index("text")
            rows = rows.set_column(place, "text", [found])
        if file is None:
            show: Callable[..., Any] = getattr(hygiene_tables, f"print_{name}")
            show(Console(highlight=False), opened, rows, limit)
        else:
            file.write(rows)
            print(printable(f"{output}: {rows.num_rows:,} rows"))

    run.__name__, run.__doc__ = name, HELP[name]
    return run
