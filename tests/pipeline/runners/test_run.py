"""Runners: which are refused, and what a failure of a worker says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from job_sources import write_embeddings

from syllabus.pipeline import JobError, Options, UserError
from syllabus.pipeline.errors import ShardError
from syllabus.pipeline.runners import run as runners


def options(tmp_path: Path, **more: object) -> Options:
    write_embeddings(tmp_path / "s" / "a.parquet", 60)
    given = {"source": str(tmp_path / "s"), "output": str(tmp_path / "m"), "embedding": "vector", **more}
    return Options(**given)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("DaskRunner", "runner='DaskRunner' is refused: it silently loses data"),
        ("apache_beam.runners.dask.dask_runner.DaskRunner", "is refused: it silently loses data"),
        ("DirectRunner", "is refused: it looks for another runner on the network"),
        ("FlinkRuner", "runner 'FlinkRuner' is unknown; did you mean 'FlinkRunner'?"),
    ],
)
def test_runners_that_are_refused(tmp_path: Path, name: str, line: str) -> None:
    with pytest.raises(UserError, match=line.replace("?", r"\?")):
        runners.check_runner(options(tmp_path, runner=name))


def test_a_portable_runner_needs_a_place(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^runner='PortableRunner': needs --job_endpoint=HOST:PORT after --$"
    ):
        runners.check_runner(options(tmp_path, runner="PortableRunner"))


def test_options_of_another_runner_are_no_use_to_the_embedded_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="FnApiRunner takes no options after --"):
        runners.check_runner(options(tmp_path, runner_options=("--flink_master=x",)))
    with pytest.raises(UserError, match="workers=2: is for FnApiRunner"):
        runners.check_runner(options(tmp_path, runner="PrismRunner", workers=2))


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        (
            "--environment_typ=LOOPBACK",
            "runner option '--environment_typ' is unknown; did you mean '--environment_type'?",
        ),
        ("flink_master=[local]", "runner option 'flink_master=[local]': is --flink_master=[local]"),
        ("--prism_location=/nowhere/prism", "--prism_location=/nowhere/prism: no such file"),
        ("--flink_master=localhost:1", "--flink_master=localhost:1: cannot be reached: "),
        ("--flink_master=http://localhost:1", "--flink_master=http://localhost:1: cannot be reached: "),
        ("--flink_master=[localhost", "--flink_master=[localhost: cannot be reached: Invalid IPv6 URL"),
        ("--job_endpoint=localhost:here", "--job_endpoint=localhost:here: cannot be reached: Port could not"),
    ],
)
def test_options_that_beam_would_pass_over(tmp_path: Path, flag: str, line: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(line)}"):
        runners.check_runner(options(tmp_path, runner="PrismRunner", runner_options=(flag,)))


@pytest.mark.parametrize("flag", ["--flink_master=[local]", "--flink_master=[auto]", "--job_endpoint=embed"])
def test_places_that_are_no_address_are_left_to_beam(tmp_path: Path, flag: str) -> None:
    runners.check_runner(options(tmp_path, runner="FlinkRunner", runner_options=(flag,)))


PAGE = Path(__file__).parents[3] / "docs" / "cluster.md"


def test_beam_has_the_options_of_the_page_on_engines() -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [
        shlex.split(line) for line in lines if line.startswith("syllabus prepare ") and " -- " in line
    ]
    flags = {flag.partition("=")[0] for command in commands for flag in command[command.index("--") + 1 :]}
    assert {"--flink_master", "--spark_master_url", "--sdk_container_image", "--job_endpoint"} <= flags
    assert flags <= runners._beam_options()
    assert {command[command.index("--runner") + 1] for command in commands} == set(runners.PORTABLE)


def _fail(element: int) -> int:
    raise UserError(f"element {element} is odd")


def _interrupt(element: int) -> int:  # noqa: ARG001
    raise KeyboardInterrupt


def test_an_interrupt_in_a_worker_is_an_interrupt(tmp_path: Path) -> None:
    import apache_beam as beam

    with pytest.raises(KeyboardInterrupt):
        runners.run(options(tmp_path), "test", lambda p: p | beam.Create([3]) | beam.Map(_interrupt))


def _crash(element: int) -> int:
    return element // 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_in_a_worker_is_one_line(tmp_path: Path, workers: int) -> None:
    import apache_beam as beam

    own = options(tmp_path, workers=workers)
    with pytest.raises(UserError, match=r"^element 3 is odd$"):
        runners.run(own, "test", lambda p: p | beam.Create([3]) | beam.Map(_fail))
    with pytest.raises(JobError, match=r"^test: ZeroDivisionError: .*zero; finished shards are kept in "):
        runners.run(own, "test", lambda p: p | beam.Create([3]) | beam.Map(_crash))


def test_a_damaged_shard_in_a_worker_elsewhere_is_known_by_its_text(tmp_path: Path) -> None:
    line = "/w/embed/3f/3f09.parquet: is damaged: it is empty"
    sent = f"Traceback:\n  in process\nsyllabus.pipeline.errors.ShardError: {line} [while running 'Embed']"
    found = runners._failure(options(tmp_path), "embed", RuntimeError(sent))
    assert type(found) is ShardError
    assert str(found) == line


@pytest.mark.parametrize("device", [None, "cpu", "cuda"])
def test_an_accelerator_is_asked_for_where_a_worker_has_use_for_it(
    tmp_path: Path, device: str | None
) -> None:
    import apache_beam as beam

    flags = ("--resource_hints", "accelerator=type:nvidia-l4;count:1", "--resource_hint=min_ram=4GB")
    own = options(tmp_path, runner="DataflowRunner", runner_options=flags, device=device)
    asked = {}
    for stage in ("embed", "neighbours", "select"):
        pipeline = beam.Pipeline("FnApiRunner", options=runners.pipeline_options(own, stage))
        pipeline | beam.Create([1])
        environments = pipeline.to_runner_api().components.environments.values()
        asked[stage] = {urn.split(":")[2] for each in environments for urn in each.resource_hints}
    both, memory = {"accelerator", "min_ram_bytes"}, {"min_ram_bytes"}
    # Workers that search refuse a device that is named and not there.
    searching = both if device == "cuda" else memory
    assert asked == {"embed": both, "neighbours": searching, "select": memory}
