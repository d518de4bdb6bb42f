"""The job: the stages after the plan, one after the other, from a data set to a manifest."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import apache_beam as beam
from rich.console import Console

from syllabus.manifests import ManifestError, budget, check_writable
from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import ShardError, UserError, naming
from syllabus.pipeline.options import Options
from syllabus.pipeline.outcome import Outcome, StageRun, timed
from syllabus.pipeline.reporting.job_messages import (
    announce_buckets,
    announce_device,
    announce_subsets,
    announce_weights,
)
from syllabus.pipeline.reporting.lines import warn
from syllabus.pipeline.runners import run as runners
from syllabus.pipeline.runtime import progress
from syllabus.pipeline.runtime.allocation import release_free_memory
from syllabus.pipeline.runtime.torch_setup import limit_threads
from syllabus.pipeline.stages.census import Census, check_census, check_fractions, take_census
from syllabus.pipeline.stages.commit.context import CommitContext
from syllabus.pipeline.stages.commit.importances import check_importances
from syllabus.pipeline.stages.commit.manifest import commit
from syllabus.pipeline.stages.commit.sketches import check_sketches
from syllabus.pipeline.stages.embed import Embed
from syllabus.pipeline.stages.guide import check_guide, make_guide
from syllabus.pipeline.stages.neighbours import stage as neighbours
from syllabus.pipeline.stages.neighbours.cover import CoverGroups
from syllabus.pipeline.stages.neighbours.findings import Findings, find_groups, findings
from syllabus.pipeline.stages.neighbours.holdout import Holdout, make_holdout
from syllabus.pipeline.stages.neighbours.vectors import NeighbourSearch, vectors_of_plan
from syllabus.pipeline.stages.order.stage import Ordering
from syllabus.pipeline.stages.plan import Plan
from syllabus.pipeline.stages.regroup.stage import (
    RegroupChunks,
    bucket_rows,
    groups_digest,
    make_groups,
    make_layout,
)
from syllabus.pipeline.stages.rows import AcceptedRows
from syllabus.pipeline.stages.select.sample_sizes import check_sizes
from syllabus.pipeline.stages.select.selecting import Selecting, united_partitions
from syllabus.pipeline.stages.select_and_order import SelectAndOrder
from syllabus.pipeline.stages.transform import final_dimension, fit_transform
from syllabus.pipeline.work_directory import WorkDirectory

Shard = tuple[str, str]
"""(stage, key)"""
CHECKS = 16
"""Shards that are looked at at once: on an object store each is a request or two."""


def run_stages(
    options: Options,
    plan: Plan,
    tested: Plan | None,
    stages: list[StageRun],
    console: Console,
    wary: bool = False,
) -> Outcome:
    """Run the stages of a planned job and commit the manifest.

    Args:
      options: of the job.
      plan: of the data.
      tested: plan of the holdout; None where there is none.
      stages: what was done so far; what is done here is added.
      console: for progress and messages.
      wary: read what is reused as a whole before it is: some shard was found damaged in the middle.
    """
    job = _Job(options, console, WorkDirectory(options.work), stages, wary)
    work = job.work
    limit_threads(options.threads_per_worker)
    dimension = final_dimension(options, plan.identity.dimension)
    checks_before_embedding(options, plan, dimension)
    job.check_space(plan)
    announce_subsets(options, plan.source_rows, plan.mean_weight, job.console)
    announce_device(options, job.console)
    work.store.sweep()
    with job.stage("embed", "rows") as run:
        guide = make_guide(options, plan, work)
        job.embed(run, plan)
    if tested is not None:
        with job.stage("holdout", "rows") as run, naming("holdout"):
            job.embed(run, tested)
    with job.stage_here("census", "rows", plan.source_rows) as run:
        census = take_census(plan, options.bins, work)
        checks_after_census(options, plan, census)
        announce_weights(options, census.accepted, census.weight, job.console)
        transform, fitted = fit_transform(options, plan, census, work)
        layout = make_layout(options, census, transform, dimension)
        announce_buckets(options, layout.buckets, layout.limited, dimension, job.console)
        check_guide(guide, layout.largest(census.accepted, layout.limited or options.bucket_size), options)
        run.new = plan.source_rows
    graph = holdout = None
    found = Findings(None, None, None, {}, None, None)
    if options.neighbours or tested is not None:
        with job.stage("neighbours", "shards") as run:
            vectors = vectors_of_plan(options, plan, census, transform, work)
            if options.neighbours:
                knn = NeighbourSearch(vectors, options.neighbours, options.duplicate_threshold)
                graph = neighbours.plan_graph(knn)
            if tested is not None:
                holdout = make_holdout(options, tested, vectors, transform, work)
            graph = job.search_neighbours(run, graph, holdout)
        with job.stage("cover", "shards") as run:
            found = job.find(run, graph, holdout, census.rows(plan, work), census, dimension)
    with job.stage("select", "shards") as run:
        groups = make_groups(plan, layout, dimension, options.memory_per_worker, fitted, census)
        guided = guide.store(transform, fitted, work) if guide is not None else None
        united = united_partitions(options, layout, census.accepted, dimension)
        selecting = Selecting(options, groups_digest(groups), guided, united)
        ordering = Ordering(selecting, census.accepted, dimension)
        context = CommitContext(options, plan, census, layout, groups, ordering, work, found, guide)
        regroup = RegroupChunks(census.rows(plan, work), layout, transform, options.threads_per_worker)
        job.make(run, context.shards(), SelectAndOrder(groups, regroup, ordering))
        ordering.discard_chosen(work, context.buckets().rows)
        check_importances(context, context.buckets())
    with job.stage_here("commit", "files") as run:
        document = commit(context)
        run.new = len(document["files"])
    job.write_run()
    return Outcome(options.output, document, job.stages, plan.ignored)


def checks_before_embedding(options: Options, plan: Plan, dimension: int) -> None:
    """Refuse what the number of rows and the (dimension,) of the embeddings show to be out of reach."""
    check_sketches(options, dimension)
    bucket_rows(options, dimension)
    neighbours.check_neighbours(options, plan.source_rows)
    if not options.where:
        # Rejects may yet make a budget smaller; what is hopeless now is said now.
        if options.weight is None:
            check_fractions(options, plan.source_rows)
        check_sizes(options, [("all rows", plan.source_rows)])


def checks_after_census(options: Options, plan: Plan, census: Census) -> None:
    """Refuse what the accepted rows and the sizes of partitions by label show to be out of reach."""
    check_census(census, options, plan)
    check_sizes(options, census.partitions())


@dataclass(frozen=True)
class _Job:
    """Runs the stages that are Beam pipelines, and keeps account of all."""

    options: Options
    console: Console
    work: WorkDirectory
    stages: list[StageRun]
    wary: bool

    def stage(self, name: str, unit: str) -> AbstractContextManager[StageRun]:
        """Time a stage, and give its failures a name."""
        release_free_memory()
        return timed(self.stages, name, unit)

    @contextmanager
    def stage_here(self, name: str, unit: str, total: int | None = None) -> Iterator[StageRun]:
        """The same for a stage that this process works on, with its progress."""
        with progress.watching(self.console, name, total, unit), self.stage(name, unit) as run:
            yield run

    def embed(self, run: StageRun, plan: Plan) -> None:
        """Embed the chunks whose shards are missing; rows are counted, not shards."""
        missing = self._to_make({shard for planned in plan.chunks for shard in planned.shards})
        chunks = [planned for planned in plan.chunks if not missing.isdisjoint(planned.shards)]
        encoded = [planned for planned in chunks if planned.shards[0] in missing]
        run.new = sum(planned.chunk.rows for planned in encoded)
        run.reused = plan.source_rows - run.new
        if run.reused:
            self.console.print(
                f"embed: {run.reused:,} rows are there from an earlier run, {run.new:,} are new"
            )
        if chunks:
            counts = {planned.shards[0]: planned.chunk.rows for planned in encoded}
            self._run(run, "embed", counts, Embed(plan, chunks, self.work))

    def check_space(self, plan: Plan) -> None:
        """Refuse disks that have no room for the vectors still to be made, and for the gains of the subsets.

        What is compared takes more: what is refused here would fail for certain, if late.
        """
        options = self.options
        missing = self._missing({("embed", planned.embed_key) for planned in plan.chunks})
        rows = sum(p.chunk.rows for p in plan.chunks if ("embed", p.embed_key) in missing)
        vectors, gains = 4 * plan.identity.dimension * self._accepted(rows), 0
        if options.weight is None:
            accepted = self._accepted(plan.source_rows)
            gains = 4 * options.subset_count * sum(budget(each, accepted) for each in options.fraction)
        if options.work_dir is None:  # beside the output
            vectors, gains = 0, vectors + gains
        places = (("output", options.output, gains), ("work_dir", options.work, vectors))
        for name, place, needed in places:
            try:
                check_writable(place, needed)
            except ManifestError as error:
                raise UserError(f"{name} {error}") from None

    def _accepted(self, rows: int) -> int:
        """The fewest of the rows that a job goes on with; 0 where a filter may leave none."""
        return 0 if self.options.where else int(rows * (1 - self.options.max_reject_rate))

    def search_neighbours(
        self, run: StageRun, graph: neighbours.NeighbourGraph | None, holdout: Holdout | None
    ) -> neighbours.NeighbourGraph | None:
        """Search until enough neighbours are found; return the graph with the probes that it took."""
        while True:
            shards = {("neighbours", key) for key in neighbours.keys(graph, holdout)}
            # What measures the recall is done early, in a small part of the time.
            quick = set() if graph is None else {("neighbours", key) for key in graph.measuring_keys()}
            self.make(run, shards, neighbours.SearchNeighbours(graph, holdout), quick)
            wider = neighbours.widened(graph) if graph is not None else None
            if graph is not None:
                graph.discard_routed()
            if wider is None:
                return graph
            graph = wider

    def find(
        self,
        run: StageRun,
        graph: neighbours.NeighbourGraph | None,
        holdout: Holdout | None,
        rows: AcceptedRows,
        census: Census,
        dimension: int,
    ) -> Findings:
        """Compute which near-duplicates others stand for; return all that was found, 12 bytes a row."""
        groups = None
        if graph is not None:
            groups = find_groups(graph, rows, census.partitioning, self.options, dimension)
            shards = {("cover", key) for key in groups.cover.keys()}  # noqa: SIM118
            self.make(run, shards, CoverGroups(groups.cover))
        return findings(groups, holdout, rows, census.accepted)

    def make(
        self,
        run: StageRun,
        shards: set[Shard],
        transform: beam.PTransform,
        quick: Collection[Shard] = (),
    ) -> None:
        """Run a pipeline unless all the shards that it makes are there; `quick` ones are no progress."""
        missing = self._to_make(shards)
        run.reused, run.new = len(shards) - len(missing), len(missing)
        if missing:
            self._run(run, run.stage, {shard: int(shard not in quick) for shard in missing}, transform)

    def _to_make(self, shards: set[Shard]) -> set[Shard]:
        """Those of the shards that are not there, or not sound as far as their footers tell.

        The rest of a shard is checked where it is read: nothing is read twice only to be checked, unless
        damage was found there before.
        """
        missing = self._missing(shards)
        with ThreadPoolExecutor(CHECKS) as pool:
            checked = pool.map(self._checked, sorted(shards - missing))
            damaged = {shard: error for shard, error in checked if error is not None}
        for error in damaged.values():
            warn(self.console, f"{error}; it is made again")
        return missing | set(damaged)

    def _checked(self, shard: Shard) -> tuple[Shard, ShardError | None]:
        try:
            self.work.check(*shard, whole=self.wary)
        except ShardError as error:
            return shard, error
        return shard, None

    def _missing(self, shards: set[Shard]) -> set[Shard]:
        """Those of the shards that are not there, from one listing a stage."""
        kinds = {kind for kind, _ in shards}
        return shards - {(kind, key) for kind in kinds for key in self.work.keys(kind)}

    def _run(self, run: StageRun, name: str, missing: dict[Shard, int], transform: beam.PTransform) -> None:
        """Run a pipeline to its end; progress is the sum of what the shards that are there count for."""

        def done() -> int:
            return sum(missing.values()) - sum(missing[shard] for shard in self._missing(set(missing)))

        total = sum(missing.values())
        with progress.watching(self.console, run.stage, total, run.unit, done, counter=name):
            run.counters = runners.run(self.options, name, lambda pipeline: pipeline | transform)

    def write_run(self) -> None:
        """Note where and how fast it ran: beside the shards, since the manifest must not depend on it."""
        document = {
            "host": platform.node(),
            "python": platform.python_version(),
            "options": self.options.model_dump(mode="json"),
            "stages": [vars(run) for run in self.stages],
        }
        try:
            self.work.store.write("run.json", json.dumps(document, indent=1).encode() + b"\n")
        except OSError as error:  # the manifest is committed
            warn(self.console, f"{self.work.store.url('run.json')}: cannot be written: {first_line(error)}")
