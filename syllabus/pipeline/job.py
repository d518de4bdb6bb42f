"""The job: plan, embed, select and order, commit."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from syllabus.manifests import ManifestError, check_target
from syllabus.pipeline.errors import JobError, UserError, naming
from syllabus.pipeline.options import Options
from syllabus.pipeline.outcome import Outcome, StageRun
from syllabus.pipeline.reporting.job_messages import announce_subsets, announce_weights
from syllabus.pipeline.runners import run as runners
from syllabus.pipeline.runtime import progress
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages import embed
from syllabus.pipeline.stages import select_and_order as selection_pipeline
from syllabus.pipeline.stages.census import Census, check_census, check_fractions, take_census
from syllabus.pipeline.stages.commit.manifest import Made, commit
from syllabus.pipeline.stages.commit.sketches import check_sketches
from syllabus.pipeline.stages.guide import check_guide, make_guide
from syllabus.pipeline.stages.neighbours import stage as hygiene
from syllabus.pipeline.stages.neighbours.holdout import Holdout, make_holdout, plan_holdout
from syllabus.pipeline.stages.neighbours.vectors import Wanted, vectors_of_plan
from syllabus.pipeline.stages.order.stage import Ordering, check_memory
from syllabus.pipeline.stages.plan import Plan, make_plan
from syllabus.pipeline.stages.regroup.stage import RegroupUnits, groups_digest, make_groups, make_layout
from syllabus.pipeline.stages.select.sample_sizes import check_sizes
from syllabus.pipeline.stages.select.stage import Selecting, check_rankings
from syllabus.pipeline.stages.transform import Transform, check_partitions, final_dimension, fit_transform
from syllabus.pipeline.work_directory import Work


def prepare(options: Options, console: Console | None = None) -> Outcome:
    """Run all stages and commit the manifest; what an earlier run left in the work directory is reused.

    Raises:
      UserError: the options, the source or the output are wrong; no manifest was written.
      JobError: the job cannot go on, such as too many bad records; finished shards are kept.
    """
    console = console or Console(stderr=True)
    _check_output(options)
    runners.check_runner(options)
    check_partitions(options)
    limit_threads(options.threads_per_worker)
    work = Work(options.work)
    stages: list[StageRun] = []
    with _timed(stages, "plan", "units") as stage:
        plan = make_plan(options)
        dimension = plan.identity.dimension
        tested = plan_holdout(options, dimension) if options.holdout is not None else None
        stage.new = len(plan.units)
    dimension = final_dimension(options, dimension)
    check_sketches(options, dimension)
    hygiene.check_neighbours(options, plan.source_rows)
    if not options.where:
        # Rejects may yet make a budget smaller; what is hopeless now is said now.
        check_memory(options, plan.source_rows, dimension)
        if options.weight is None:
            check_fractions(options, plan.source_rows)
        check_sizes(options, [("all rows", plan.source_rows)])
    announce_subsets(options, plan.source_rows, plan.mean_weight, console)
    work.store.sweep()
    guide = make_guide(options, plan, work)
    with _timed(stages, "embed", "rows") as stage:
        _embed(options, plan, work, console, stage)
    if tested is not None:
        with _timed(stages, "holdout", "rows") as stage, naming("holdout"):
            _embed(options, tested, work, console, stage)
    with _timed(stages, "census", "rows") as stage:
        census = take_census(plan, options.bins, work)
        check_census(census, options, plan)
        check_sizes(options, census.partitions())
        check_memory(options, census.accepted, dimension)
        announce_weights(options, census.accepted, census.weight, console)
        transform, fitted = fit_transform(options, plan, census, work)
        stage.new = plan.source_rows
    search = holdout = None
    if options.neighbours or tested is not None:
        with _timed(stages, "neighbours", "shards") as stage:
            search, holdout = _neighbours(options, plan, tested, census, transform, work, console, stage)
    layout = make_layout(options, census, transform)
    largest = layout.largest(census.accepted, options.bucket_size)
    check_rankings(options, largest)
    check_guide(guide, largest, options)
    groups = make_groups(plan, layout, dimension, options.memory_per_worker, fitted, census)
    guided = guide.store(transform, fitted, work) if guide is not None else None
    selecting = Selecting(options, groups_digest(groups), guided)
    ordering = Ordering(selecting, census.accepted, dimension)
    made = Made(options, plan, census, layout, groups, ordering, work, search, holdout, guide)
    with _timed(stages, "select", "shards") as stage:
        regroup = RegroupUnits(
            plan.columns, layout, transform, census.duplicates, work, options.threads_per_worker
        )
        _select(options, made, regroup, console, stage)
    with _timed(stages, "commit", "files") as stage:
        document = commit(made)
        stage.new = len(document["files"])
    _write_run(options, work, stages)
    return Outcome(options.output, document, stages, plan.ignored)


def _check_output(options: Options) -> None:
    try:
        check_target(options.output, options.overwrite)
    except ManifestError as error:
        raise UserError(
            f"output {error}; another place reuses the shards with --work-dir {options.work}"
        ) from None
    for name in ("output", "work"):
        if getattr(options, name) == options.source:
            raise UserError(f"{name} {options.source}: is the source itself")


def _embed(options: Options, plan: Plan, work: Work, console: Console, stage: StageRun) -> None:
    vectors, rows = work.keys("embed"), work.keys("rows")
    missing = [unit for unit in plan.units if not (unit.embed_key in vectors and unit.rows_key in rows)]
    wanted = {unit.embed_key: unit.unit.rows for unit in missing if unit.embed_key not in vectors}
    stage.new = sum(unit.unit.rows for unit in plan.units if unit.embed_key in wanted)
    stage.reused = plan.source_rows - stage.new
    if stage.reused:
        console.print(f"embed: {stage.reused:,} rows are there from an earlier run, {stage.new:,} are new")
    if not missing:
        return

    def done() -> int:
        found = work.keys("embed")
        return sum(rows for key, rows in wanted.items() if key in found)

    with progress.watching(console, "embed", stage.new, "rows", done):
        stage.counters = runners.run(options, "embed", lambda p: embed.build(p, plan, work, missing))


def _neighbours(
    options: Options,
    plan: Plan,
    tested: Plan | None,
    census: Census,
    transform: Transform,
    work: Work,
    console: Console,
    stage: StageRun,
) -> tuple[hygiene.Search | None, Holdout | None]:
    """Search the neighbours of all examples, and those of the test data among them."""
    vectors = vectors_of_plan(options, plan, census, transform, work)
    search = holdout = None
    if options.neighbours:
        search = hygiene.make_search(Wanted(vectors, options.neighbours, options.duplicate_threshold))
    if tested is not None:
        holdout = make_holdout(options, tested, vectors, transform, work)
    while True:
        expected = set(hygiene.keys(search, holdout))
        missing = expected - work.keys("neighbours")
        stage.reused, stage.new = len(expected) - len(missing), len(missing)
        if missing:

            def done(missing: set[str] = missing) -> int:
                return len(missing & work.keys("neighbours"))

            def build(pipeline: Any, search: hygiene.Search | None = search) -> None:
                hygiene.build(pipeline, search, holdout)

            with progress.watching(console, "neighbours", len(missing), "shards", done):
                stage.counters = runners.run(options, "neighbours", build)
        wider = hygiene.widened(search) if search is not None else None
        if wider is None:
            return search, holdout
        search = wider


def _select(options: Options, made: Made, regroup: RegroupUnits, console: Console, stage: StageRun) -> None:
    """Regroup, select and order, unless every shard is there."""
    expected = _shards(made)
    kinds = sorted({kind for kind, _ in expected})

    def there() -> set[tuple[str, str]]:
        return {(kind, key) for kind in kinds for key in made.work.keys(kind)} & expected

    missing = expected - there()
    stage.reused, stage.new = len(expected) - len(missing), len(missing)
    if not missing:
        return
    with progress.watching(console, "select", len(missing), "shards", lambda: len(there() & missing)):
        stage.counters = runners.run(
            options,
            "select",
            lambda p: selection_pipeline.build(p, made.groups, regroup, made.ordering, made.work),
        )


def _shards(made: Made) -> set[tuple[str, str]]:
    """All shards behind the manifest; until it is known which buckets have rows, those of all."""
    options, ordering = made.options, made.ordering
    shards = {("regroup", group.key) for group in made.groups}
    regrouped = shards <= {("regroup", key) for key in made.work.keys("regroup")}
    for bucket in made.buckets().rows if regrouped else made.layout.all_buckets():
        if options.subset_count:
            shards.add(("subsets", ordering.selecting.subsets_key(bucket)))
        for name in ordering.selecting.rankings:
            shards.add(("ranking", ordering.selecting.ranking_key(bucket, name)))
    shards |= {("order", ordering.subset_key(*each)) for each in ordering.subsets()}
    if options.order != "none":
        shards.add(("order", ordering.full_key()))
    return shards


@contextmanager
def _timed(stages: list[StageRun], name: str, unit: str) -> Iterator[StageRun]:
    stage = StageRun(name, unit)
    start = time.perf_counter()
    try:
        yield stage
    except ManifestError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise JobError(f"{name}: {error}") from None
    stage.seconds = time.perf_counter() - start
    stages.append(stage)


def _write_run(options: Options, work: Work, stages: list[StageRun]) -> None:
    """Where and how fast it ran: kept beside the shards, not in the manifest, which must not depend on it."""
    document = {
        "host": platform.node(),
        "python": platform.python_version(),
        "options": options.model_dump(mode="json"),
        "stages": [vars(stage) for stage in stages],
    }
    work.store.write("run.json", json.dumps(document, indent=1).encode() + b"\n")
