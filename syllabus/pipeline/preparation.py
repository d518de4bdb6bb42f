"""The preparation of a manifest: the checks of the options, the plan, and then the stages.

Beam and torch take seconds to import, and most mistakes are found without them: nothing here imports either
before the plan is made.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from rich.console import Console

from syllabus.manifests import ManifestError, check_target, check_writable, repair_target
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import JobError, ShardError, UserError, naming
from syllabus.pipeline.options import Options
from syllabus.pipeline.outcome import Outcome, StageRun, timed
from syllabus.pipeline.reporting.lines import warn
from syllabus.pipeline.runners.run import check_runner, without_log
from syllabus.pipeline.runtime.progress import watching
from syllabus.pipeline.sources import open_source
from syllabus.pipeline.stages.plan import Plan, make_plan, plan_holdout
from syllabus.pipeline.stages.transform import check_partitions

T = TypeVar("T")


def prepare(options: Options, console: Console | None = None) -> Outcome:
    """Run all stages and commit the manifest; what an earlier run left in the work directory is reused.

    A shard there that is damaged, or another's, is named on the console and made again.

    Raises:
      UserError: the options, the source or the output are wrong; no manifest was written.
      JobError: the job cannot go on, such as too many bad records; finished shards are kept.
    """
    console = console or Console(stderr=True)
    checks_before_plan(options)
    plan, tested, planned = _until_sound(lambda _: _plan(options, console), console)
    with without_log():
        from syllabus.pipeline.job import run_stages
        from syllabus.pipeline.runtime.allocation import freed_memory_returned

    def run(wary: bool) -> Outcome:
        return run_stages(options, plan, tested, [*planned], console, wary)

    with freed_memory_returned():
        return _until_sound(run, console)


def _plan(options: Options, console: Console) -> tuple[Plan, Plan | None, list[StageRun]]:
    stages: list[StageRun] = []
    with watching(console, "plan", None, "rows"), timed(stages, "plan", "units") as run:
        plan = make_plan(options)
        tested = plan_holdout(options, plan) if options.holdout is not None else None
        run.new = len(plan.chunks)
    return plan, tested, stages


def _until_sound(make: Callable[[bool], T], console: Console) -> T:
    """Do what reads shards; again where one is damaged, which is out of the way by then and made anew.

    All that is sound is found again; `make` is told whether to look for more damage first. A shard that is
    damaged twice is the disk's fault, and ends the job.
    """
    found: set[str] = set()
    while True:
        try:
            return make(bool(found))
        except ShardError as error:
            shard = str(error).partition(": ")[0]
            if shard in found:
                raise JobError(f"{error}, again after it was made again: see to its disk") from None
            found.add(shard)
            warn(console, f"{error}; it is made again")


def checks_before_plan(options: Options, writes: bool = True) -> None:
    """Refuse what the options show to be wrong: a taken output, another runner, a library or file missing.

    Unless this `writes`, an interrupted exchange is left as it is, and no place is tried.
    """
    try:
        if writes:
            repair_target(options.output)
        check_target(options.output, options.overwrite)
    except ManifestError as error:
        work, kept = Store(options.work), False
        with suppress(OSError):  # what keeps the output from being read may keep this, too
            kept = not work.is_local or work.exists()
        hint = f"; another place reuses the shards with --work-dir {options.work}" if kept else ""
        raise UserError(f"output {error}{hint}") from None
    for name in ("output", "work"):
        if getattr(options, name) == options.source:
            raise UserError(f"{name} {options.source}: is the source itself")
    check_runner(options)
    check_partitions(options)
    for name, place in (("output", options.output), ("work_dir", options.work)) if writes else ():
        try:
            check_writable(place)
        except ManifestError as error:
            raise UserError(f"{name} {error}") from None
    for option in ("holdout", "query", "private"):
        if (location := getattr(options, option)) is not None:
            with naming(option):
                open_source(location, options.follow_links)
