"""The commands.

Exit codes: 0 done; 1 the job failed, or a manifest is damaged; 2 the user's mistake, told in one line without
a traceback; 130 interrupted; 143 terminated.
"""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from syllabus import __version__
from syllabus.pipeline.command_line import comparing, exporting, lists
from syllabus.pipeline.command_line.flags import with_flags
from syllabus.pipeline.command_line.given import AsJson, Location, check_given, print_json
from syllabus.pipeline.errors import JobError, UserError, printable, suggestion

app = typer.Typer(
    name="syllabus",
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain text: boxes leave the explanations half of a terminal's width, and swallow what is in brackets.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)
console = Console(stderr=True, highlight=False)
# Recent releases of typer have their own copy of click: the family of its errors, in either case.
ClickException: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

Config = Annotated[
    Path | None, typer.Argument(help="TOML file with options; a flag wins over it.", metavar="[CONFIG.toml]")
]


@app.callback(invoke_without_command=True)
def whole(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Draws up what a model studies and in which order, before it is trained."""
    if version:
        print(f"syllabus {__version__}")
        raise typer.Exit


@app.command(short_help="Embed, choose subsets and orders, write a manifest.")
@with_flags
def prepare(
    context: typer.Context,
    config: Config = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print warnings and errors, no progress and no summary.")
    ] = False,
    json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read about 1,000 rows, estimate the job, write nothing.")
    ] = False,
    **flags: Any,
) -> None:
    """Embed a data set, choose subsets and orders, and write a manifest.

    Options of the runner follow after --, as in: --runner PrismRunner -- --environment_type=LOOPBACK
    """
    from syllabus.pipeline.command_line.config import read_options

    given = {name: value for name, value in flags.items() if value not in (None, [])}
    if context.obj:
        given["runner_options"] = list(context.obj)
    # A look needs no place to write to.
    options = read_options(config, given, {"output": "nothing-is-written"} if dry_run else None)
    # Before Beam is imported: it warns on import about clients that are not installed.
    logging.getLogger().setLevel(logging.ERROR)
    if dry_run:
        from syllabus.pipeline.dry_run import dry_run as look
        from syllabus.pipeline.reporting.dry_run_lines import print_dry_run

        found = look(options)
        print_json(found) if json else print_dry_run(Console(highlight=False), found)
        return
    from syllabus.pipeline.preparation import prepare as run
    from syllabus.pipeline.reporting.job_messages import print_summary, summary
    from syllabus.pipeline.reporting.lines import WarningsOnly

    shown = WarningsOnly(stderr=True, highlight=False) if quiet else console
    outcome = run(options, shown)
    print_summary(shown, outcome)
    if json:
        print_json(summary(outcome))


@app.command(short_help="Show what is in a manifest.")
def describe(manifest: Location, json: AsJson = False) -> None:
    """Show what is in a manifest: counts, partitions, subsets, importances, orders.

    With --json: where it is, the warnings, and what manifest.json holds.
    """
    check_given(manifest=manifest)
    from syllabus.manifests import Manifest
    from syllabus.pipeline.reporting.advice import warnings_of
    from syllabus.pipeline.reporting.describe import print_description

    opened = Manifest.open(manifest)
    if json:
        found = {"location": opened.location, "warnings": warnings_of(opened.description)}
        print_json({**found, **opened.description})
    else:
        print_description(Console(highlight=False), opened)


@app.command(short_help="Check every file of a manifest, and its source.")
def validate(
    manifest: Location,
    source: Annotated[
        str | None, typer.Option(help="The data set: checks that the manifest was made from it, row by row.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Check every hash, every order and every subset of a manifest; one line for each problem."""
    check_given(manifest=manifest, source=source)
    from syllabus.manifests import validate as check
    from syllabus.pipeline.source_check import source_problems

    report = check(manifest)
    problems = list(report.problems)
    if source is not None and report.ok:
        problems += source_problems(manifest, source)
    if json:
        sound = {"manifest": manifest, "source": source, "sound": not problems}
        print_json({**sound, "files": report.files, "problems": problems})
    for problem in problems:
        console.print(printable(f"{manifest}: {problem}"), soft_wrap=True, markup=False, emoji=False)
    if problems:
        raise typer.Exit(1 if report.found else 2)
    if report.beside:
        left = f"beside it lies {', '.join(report.beside)}, of a job that is at work or was killed"
        print(printable(f"{manifest}: {left}; the next job removes what is left over"))
    made = f"; made from {source}" if source is not None else ""
    if not json:
        print(printable(f"{manifest}: {report.files} files are sound{made}"))


@app.command(short_help="Write a page that shows a manifest.")
def report(
    manifest: Location,
    output: Annotated[
        str | None,
        typer.Option(
            help="HTML file to write; an earlier report there is replaced. [default: MANIFEST.html]"
        ),
    ] = None,
    umap: Annotated[
        bool | None,
        typer.Option(
            "--umap/--no-umap",
            help="A map by UMAP beside the one by principal axes. [default: where umap-learn is installed]",
        ),
    ] = None,
) -> None:
    """Write one HTML file that shows a manifest, to be opened in a browser: it fetches nothing."""
    check_given(manifest=manifest, output=output)
    from syllabus.manifests import Manifest
    from syllabus.pipeline.reporting.html.page import write_report

    with console.status("writing the report"):
        written = write_report(Manifest.open(manifest), output, umap)
    print(printable(f"{written}: open it in a browser"))


app.command(short_help="List examples whose label may be wrong.")(lists.list_command("suspects", 20))
app.command(short_help="List near-duplicates, group by group.")(lists.list_command("duplicates", 10))
app.command(short_help="List test rows that are among the examples.")(lists.list_command("holdout", 20))
app.command(short_help="Show what differs between two manifests.")(comparing.compare)


app.command(short_help="Write a subset, or the preview, as a plain file.")(exporting.export)


@app.command(short_help="Download a data set from Hugging Face's hub.")
def fetch(
    name: Annotated[
        str, typer.Argument(help="user/name on the hub, or hf://datasets/user/name; @REVISION may follow.")
    ],
    output: Annotated[str, typer.Argument(help="Folder to make.")],
    split: Annotated[str | None, typer.Option(help="Split, where there are several.")] = None,
    config: Annotated[str | None, typer.Option(help="Configuration, where there are several.")] = None,
) -> None:
    """Download a data set once, with the library datasets, into a folder that --source reads.

    No other command asks a network for data.
    """
    check_given(name=name, output=output, split=split, config=config)
    from syllabus.pipeline.fetching import fetch as download

    rows, columns = download(name, output, split, config)
    print(printable(f"{output}: {rows:,} rows with {', '.join(columns)}; read it with --source {output}"))


@app.command(short_help="Search hyperparameters: short runs first, the best in full.")
def tune(
    config: Annotated[Path, typer.Argument(help="TOML file of the search.", metavar="CONFIG.toml")],
) -> None:
    """Search hyperparameters on one manifest: every configuration on a short run, the best in full.

    The file gives manifest, train (module:function), epochs and a table space; docs/tuning.md has one. The
    same command continues a search, and helps one that runs elsewhere.
    """
    from syllabus.pipeline.command_line.tune import tune_from

    told, drawn = tune_from(config)
    print("\n".join(map(printable, told.splitlines())))
    for path in drawn:
        print(printable(str(path)))


INTERRUPTED = "interrupted; finished shards are kept"
COMMANDS = tuple(command.callback.__name__ for command in app.registered_commands)  # type: ignore[union-attr]


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code. What follows ``--`` is the runner's."""
    own, runner = arguments or ["--help"], []
    if "--" in arguments:
        cut = arguments.index("--")
        own, runner = arguments[:cut] or ["--help"], arguments[cut + 1 :]
    try:
        if not own[0].startswith("-") and own[0] not in COMMANDS:
            raise UserError(suggestion("command", own[0], COMMANDS))
        code = int(app(own, obj=runner, prog_name="syllabus", standalone_mode=False) or 0)
        return _fail(INTERRUPTED, code) if code == 130 else code
    except ClickException as error:
        return _fail(_usage(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        return _fail(INTERRUPTED, 130)
    except UserError as error:
        return _fail(str(error), 2)
    except JobError as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(str(error), 1)
    except ValueError as error:
        # Imported here: pyarrow comes with it, and takes longer than the help.
        from syllabus.manifests import ManifestError, NoManifestError, schema

        if not isinstance(error, ManifestError):
            raise
        # What is wrong with a file of a manifest begins with its name.
        name = str(error).partition(":")[0]
        damaged = (name == schema.DOCUMENT or schema.PART.fullmatch(name)) and not isinstance(
            error, NoManifestError
        )
        return _fail(str(error), 1 if damaged else 2)


def _usage(error: Any) -> str:
    """One line that says what is wrong with the flags."""
    if error.ctx is not None and (name := getattr(error, "option_name", None)):
        known = [flag for parameter in error.ctx.command.params for flag in parameter.opts]
        return suggestion("option", name, [flag for flag in known if flag.startswith("--")])
    return " ".join(error.format_message().split())


def _fail(message: str, code: int) -> int:
    console.print(f"syllabus: {printable(message)}", soft_wrap=True, markup=False, emoji=False)
    return code
