"""The options of a job in one frozen object, and which of them would do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import Field, ValidationInfo, model_validator

from syllabus.pipeline.options.base import Group
from syllabus.pipeline.options.bounds import Bounds
from syllabus.pipeline.options.data import Data
from syllabus.pipeline.options.locations import LOCATIONS, Locations
from syllabus.pipeline.options.selection import GUIDED_BY, Neighbours, Selection

MOST_THREADS = 1024


class Running(Group):
    """The runner, its workers and their limits."""

    workers: int = Field(1, ge=1, le=MOST_THREADS, description="Workers of the embedded runner.")
    threads_per_worker: int = Field(
        1, ge=1, le=MOST_THREADS, description="Threads of a worker's matrix products; sets their last bits."
    )
    memory_per_worker: float = Field(4.0, gt=0, le=1e6, description="GB that a worker may hold of vectors.")
    max_reject_rate: float = Field(0.01, ge=0, le=1, description="Share of bad records that stops the job.")
    runner: str = Field(
        "FnApiRunner", description="Any portable Beam runner; its own options follow after --."
    )
    runner_options: tuple[str, ...] = Field((), description="Options of the runner, one a string.")
    overwrite: bool = Field(False, description="Replace a manifest that is already there.")


UNRECORDED = (
    *LOCATIONS,
    "follow_links",
    # The encoder has a section of its own, by its name and weights, not by its path.
    "encoder",
    "device",
    *(name for name in Running.model_fields if name != "threads_per_worker"),
)
"""Options that leave no trace in the manifest: where and how fast a job runs."""


# The fields follow one another from the last base to the first: locations come first in the help.
class Options(Running, Neighbours, Selection, Bounds, Data, Locations):
    """The options of one job. Frozen; every field is checked when it is made."""

    @model_validator(mode="after")
    def _guided(self) -> Options:
        needed = GUIDED_BY.get(self.objective)
        for objective, option in GUIDED_BY.items():
            value = getattr(self, option)
            if option == needed and value is None:
                raise ValueError(f"objective={objective!r}: needs {option}, the rows that it compares with")
            if option != needed and value is not None:
                raise ValueError(
                    f"{option}={value!r}: is of no use with objective={self.objective!r};"
                    f" {objective} takes it"
                )
        return self

    @model_validator(mode="after")
    def _of_use(self, info: ValidationInfo) -> Options:
        # A flag that leaves an option of the file nothing to do wins over it, as over a value there.
        file = set((info.context or {}).get("file", ()))
        flags = self.model_fields_set - file
        for option, causes, why in unused_options(self):
            given = option in self.model_fields_set and getattr(self, option) is not None
            if given and not (option in file and flags.intersection(causes)):
                raise ValueError(f"{option}={getattr(self, option)!r}: is of no use with {why}")
        return self

    @model_validator(mode="after")
    def _costing(self) -> Options:
        if self.weight is not None and self.optimizer == "lazier":
            raise ValueError(
                f"optimizer='lazier': does not go with weight={self.weight!r}; stochastic and lazy know costs"
            )
        return self

    def recorded(self) -> dict[str, Any]:
        """Return what determines the content, as resolved: what ``manifest.json`` holds."""
        values = self.model_dump(mode="json", exclude=set(UNRECORDED))
        if self.weight is None:
            # Manifests whose budgets count examples, and the keys made from these, stay what they were.
            del values["weight"], values["weight_power"]
        if not self.neighbours:
            del values["relative_threshold"]
        return {**values, "subsets": self.subset_count}


class UnusedOption(NamedTuple):
    """An option that would do nothing beside the others: given in so many words, it is a mistake."""

    option: str
    causes: tuple[str, ...]
    """The options that leave it nothing to do."""
    why: str


def unused_options(options: Options) -> Iterator[UnusedOption]:
    """Yield every option that would do nothing in a job of these options, given or not."""
    yield from _unused_of_subsets(options)
    yield from _unused_of_both(options)
    yield from _unused_bounds(options)
    if all(":" in importance for importance in options.importance):
        named = ", ".join(options.importance) or "none"
        yield UnusedOption(
            "ess", ("importance",), f"importance={named}: none is without a sample size of its own"
        )
    searched = bool(options.neighbours) or options.holdout is not None
    if not searched:
        why = "neighbours=0 and no holdout: no near-duplicates are looked for"
        yield UnusedOption("duplicate_threshold", ("neighbours", "holdout"), why)
    if not options.neighbours:
        yield UnusedOption("relative_threshold", ("neighbours",), "neighbours=0: no copies are looked for")
    if options.weight is None:
        yield UnusedOption("weight_power", ("weight",), "no weight: budgets count examples")
    if options.order == "none":
        yield UnusedOption("passes", ("order",), "order='none'")
    if options.embedding is not None or options.encoder == "hashing":
        cause = "encoder" if options.embedding is None else "embedding"
        why = f"{cause}={getattr(options, cause)!r}: no model is run"
        for option in ("dtype", "batch_size", "long_texts", *(() if searched else ("device",))):
            yield UnusedOption(option, (cause,), why)
    elif options.image is not None:
        yield UnusedOption("long_texts", ("image",), f"image={options.image!r}: there are no texts")


def _unused_of_subsets(options: Options) -> Iterator[UnusedOption]:
    """Yield those of the number of easy subsets, and of how they are chosen."""
    if options.optimizer == "lazy":
        for option in ("epochs", "easy_fraction"):
            yield UnusedOption(option, ("optimizer",), "optimizer='lazy': greedy gives one subset")
    elif options.subsets is not None:
        for option in ("epochs", "easy_fraction"):
            yield UnusedOption(
                option, ("subsets",), f"subsets={options.subsets}: the number needs not be computed"
            )
    elif options.epochs is None:
        yield UnusedOption(
            "easy_fraction", ("epochs",), "no epochs: it says in how many of them subsets are used"
        )
    if not options.subset_count:
        causes, why = _no_subsets(options)
        for option in ("objective", "optimizer", "epsilon", "weight_power"):
            yield UnusedOption(option, causes, why)
    elif options.optimizer == "lazy":
        yield UnusedOption("epsilon", ("optimizer",), "optimizer='lazy'")


def _unused_of_both(options: Options) -> Iterator[UnusedOption]:
    """Yield those that subsets and importances share."""
    causes, why = _no_subsets(options)
    if all(importance.base != "graph_cut" for importance in options.importances):
        if options.subset_count and options.objective != "graph_cut":
            causes, why = ("objective",), f"objective={options.objective!r}"
        if not options.subset_count or options.objective != "graph_cut":
            yield UnusedOption("trade_off", (*causes, "importance"), f"{why}, and no importance=graph_cut")
    if not (options.subset_count or options.importance):
        for option in ("fraction", "budgets"):
            yield UnusedOption(option, (*causes, "importance"), f"{why}, and no importance")


def _unused_bounds(options: Options) -> Iterator[UnusedOption]:
    """Yield the bounds of what a record does not have."""
    kind = options.content_kind
    for name, bounded in (
        ("max_text_bytes", "text"),
        ("max_image_bytes", "image"),
        ("max_image_pixels", "image"),
    ):
        if kind != bounded:
            yield UnusedOption(name, (kind,), f"{kind}={options.content!r}: no record has one")
    if options.label is None or options.bins is not None:
        cause = "bins" if options.bins is not None else "label"
        yield UnusedOption(
            "max_label_bytes", (cause,), f"{cause}={getattr(options, cause)}: no label is text"
        )
    if options.id is None:
        yield UnusedOption("max_id_bytes", ("id",), "no id")


def _no_subsets(options: Options) -> tuple[tuple[str, ...], str]:
    cause = "subsets" if options.subsets is not None else "easy_fraction"
    return (cause, "epochs"), f"{cause}={getattr(options, cause)}: there are no easy subsets"
