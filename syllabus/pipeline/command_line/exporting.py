"""The command that writes plain files."""

from typing import Annotated

import typer

from syllabus.pipeline.command_line.given import Location, check_given
from syllabus.pipeline.errors import UserError, printable


def export(
    manifest: Location,
    output: Annotated[str, typer.Option(help="File to write.")],
    fraction: Annotated[float | None, typer.Option(help="Fraction of the subset.")] = None,
    subset: Annotated[int | None, typer.Option(help="Number of the subset. [default: 0]")] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            help="txt (ids), csv, jsonl or parquet. [default: by OUTPUT's suffix; txt without one] Or atlas:"
            " Parquet of the preview with places and neighbours, for embedding-atlas."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Write one subset as a plain file, for trainers that read no manifest; or the preview, to look at."""
    check_given(manifest=manifest, output=output, format=format)
    from syllabus.manifests import Manifest
    from syllabus.manifests import export as write

    if format == "atlas":
        if fraction is not None or subset is not None:
            raise UserError(
                "export: fraction and subset are of no use with --format atlas: it has the preview"
            )
        print(printable(_export_atlas(manifest, output, overwrite)))
        return
    if fraction is None:
        raise UserError("Missing option '--fraction'.")
    rows = write(Manifest.open(manifest), fraction, subset or 0, format, output, overwrite)
    print(printable(f"{output}: {rows.num_rows:,} rows"))


def _export_atlas(manifest: str, output: str, overwrite: bool) -> str:
    """Write the preview; return a line with the command that opens it."""
    import shlex

    from syllabus.manifests import Manifest, PlainFile
    from syllabus.pipeline.reporting.atlas import atlas_rows

    file = PlainFile("export", output, {"parquet": ".parquet"}, overwrite=overwrite)
    rows = atlas_rows(Manifest.open(manifest))
    file.write(rows)
    shown = ""
    if "image" in rows.column_names:
        shown = " --image image"
    elif rows["text"].null_count < rows.num_rows:
        shown = " --text text"
    near = " --neighbors neighbors" if "neighbors" in rows.column_names else ""
    command = f"embedding-atlas {shlex.quote(output)} --x x --y y{shown}{near}"
    return f"{output}: {rows.num_rows:,} rows; open it with {command}"
