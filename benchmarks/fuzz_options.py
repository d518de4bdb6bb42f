"""Options: flags and TOML of the command line, and the values of Python, of any type, size and name.

A job is run up to the point where it would embed: its options, its source, encoder and plan are looked at.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import Attempt
from fuzz import bounded_memory, mutated
from random_files import pick

from syllabus.pipeline import Options, UserError, job, preparation
from syllabus.pipeline.command_line import app
from syllabus.pipeline.options import choices, make_options

NAMES = [
    name for name in Options.model_fields if name not in ("source", "output", "work_dir", "runner_options")
]
COLUMNS = ["text", "label", "id", "score", "vector", "tokens", "txet"]
NUMBERS: list[Any] = [
    0,
    1,
    -1,
    2,
    7,
    0.1,
    0.5,
    1.0,
    -0.0,
    1e-300,
    1e300,
    2**31,
    2**63,
    2**64,
    10**30,
    "1e400",
    "nan",
]
NUMBERS += ["inf", "-inf", "1_000", "0x10", "٣", "1,5", " 3 ", "3.0", float("nan"), float("inf")]
STRINGS = [
    "",
    " ",
    "x",
    "none",
    "balance",
    "hashing",
    "center+pca:3",
    "a=b",
    "=",
    "a" * 5_000,
    "é",
    "\u202e",
    "[/red]",
]
STRINGS += [
    "-",
    "--",
    "-x",
    "a\nb",
    "../..",
    "~nobody/x",
    "/dev/null",
    "/",
    "s3://",
    "s3://b/k",
    "file:///nowhere",
    "hf://d",
]
STRINGS += [
    "nosuch:factory",
    "os:path",
    "os.path:join",
    "sys:exit",
    ":",
    "a:b:c",
    "\udcff",
    "radius:0.5",
    "radius:",
    ":0.5",
]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], ["a", "b"], [0.1, 0.2], [0.1, "x"], {"a": 1}, "true"]


class Enough(Exception):
    """Raised where a job would begin to embed."""


def stop(options: Options, plan: Any, *_: Any) -> None:
    """Check what is checked before anything is embedded, and end the job."""
    job.checks_before_embedding(options, plan, job.final_dimension(options, plan.identity.dimension))
    raise Enough


class Fuzz:
    """Runs `syllabus prepare` in this process, and Python's `Options`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = {
            "text": [f"some words of row {row}" for row in range(60)],
            "label": [f"c{row % 3}" for row in range(60)],
            "id": [f"k{row}" for row in range(60)],
            "score": np.arange(60) / 7,
            "vector": list(np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)),
            "tokens": np.arange(1, 61),
        }
        pq.write_table(pa.table(rows), folder / "rows.parquet")
        job.run_stages = stop  # type: ignore[assignment]

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Run one try."""
        values = self.values(random)
        form = pick(random, ["flags", "flags", "toml", "python"])
        if form == "python":
            return self.python(values)
        if form == "toml":
            text = "".join(f"{name} = {toml(value)}\n" for name, value in values.items()).encode(
                "utf-8", "replace"
            )
            (self.folder / "job.toml").write_bytes(
                mutated(text, random, 3) if random.random() < 0.5 else text
            )
            arguments = ["prepare", str(self.folder / "job.toml")]
        else:
            arguments = ["prepare", *flags(values, random)]
        return command(arguments)

    def values(self, random: np.random.Generator) -> dict[str, Any]:
        """Options of a job that would run, with some that are odd."""
        values: dict[str, Any] = {
            "source": str(self.folder / "rows.parquet"),
            "output": str(self.folder / "m"),
        }
        values |= {"text": "text", "encoder": "hashing"} if random.random() < 0.7 else {"embedding": "vector"}
        if random.random() < 0.5:
            values["label"] = "label"
        for _ in range(int(random.integers(0, 4))):
            name = pick(random, NAMES)
            values[name] = self.value(random, name)
        if random.random() < 0.1:
            values[pick(random, ["source", "output", "work_dir", "sourc", "", "runner_options", "a b"])] = (
                pick(random, STRINGS)
            )
        if random.random() < 0.1:
            values.pop(pick(random, list(values)))
        return values

    def value(self, random: np.random.Generator, name: str) -> Any:
        """Return a value of an option, half of them of its own sort."""
        known: list[Any] = list(choices(name)) or (
            COLUMNS if name in ("text", "image", "embedding", "label", "id", "weight") else NUMBERS[:12]
        )
        if name in ("holdout", "query", "private"):
            known = [str(self.folder / each) for each in ("rows.parquet", "none.parquet", "")]
        return pick(random, known if random.random() < 0.65 else NUMBERS + STRINGS + OTHERS)

    def python(self, values: dict[str, Any]) -> Attempt:
        """Give the values to Python's options, and plan the job."""
        said = repr(values)[:1000]
        try:
            with bounded_memory():
                preparation.prepare(make_options(values))
        except Enough:
            return Attempt(said, "accepted")
        except UserError as error:
            return Attempt(said, "refused" if len(str(error).splitlines()) == 1 else "traceback", str(error))
        return Attempt(said, "silent", "neither planned nor refused")


def flags(values: dict[str, Any], random: np.random.Generator) -> list[str]:
    """Options as flags; some of them broken."""
    arguments = []
    for name, value in values.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(flag if value else f"--no-{flag[2:]}")
            continue
        for each in value if isinstance(value, list) else [value]:
            arguments += [f"{flag}={each}"] if random.random() < 0.2 else [flag, str(each)]
    if arguments and random.random() < 0.1:
        arguments[int(random.integers(len(arguments)))] = pick(random, STRINGS)
    return arguments


def toml(value: Any) -> str:
    """Return a value as TOML, or as near to it as it goes."""
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value) if not isinstance(value, dict) else "{ a = 1 }"


def command(arguments: list[str]) -> Attempt:
    """Run a command as its console script does; what it prints is one line, and its exit status 0, 1 or 2."""
    shown, out = io.StringIO(), io.StringIO()
    app.console.file = shown
    said = repr(arguments)[:1000]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(shown):
        try:
            with bounded_memory():
                code = app.run(arguments)
        except Enough:
            return Attempt(said, "accepted")
    told = shown.getvalue()
    if code == 0 and "--help" in arguments:
        return Attempt(said, "accepted")
    one = len(told.splitlines()) == 1 and told.startswith("syllabus: ")
    return Attempt(said, "refused" if code in (1, 2) and one else "traceback", f"exit status {code}: {told}")
