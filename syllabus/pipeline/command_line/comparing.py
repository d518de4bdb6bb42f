"""The command that compares two manifests."""

from typing import Annotated

import typer

from syllabus.pipeline.command_line.given import AsJson, check_given


def compare(
    one: Annotated[str, typer.Argument(help="Directory of a manifest.", metavar="A")],
    other: Annotated[str, typer.Argument(help="Directory of another.", metavar="B")],
    json: AsJson = False,
) -> None:
    """Show what differs between two manifests: options, counts, subsets, importances, orders, hygiene.

    Examples are told apart by id. Correlations are of ranks, 1 for the same order and 0 for unrelated ones.
    """
    check_given(a=one, b=other)
    from rich.console import Console

    from syllabus.manifests import Manifest
    from syllabus.pipeline.command_line.given import print_json
    from syllabus.pipeline.reporting.compare import compare as find
    from syllabus.pipeline.reporting.comparison import print_comparison

    found = find(Manifest.open(one), Manifest.open(other))
    if json:
        print_json(found)
    else:
        print_comparison(Console(highlight=False), found)
