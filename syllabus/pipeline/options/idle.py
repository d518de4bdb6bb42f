"""Options that would do nothing beside the others: given in so many words, they are a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from syllabus.pipeline.options.options import Options


class Idle(NamedTuple):
    """An option that does nothing in a job."""

    option: str
    causes: tuple[str, ...]
    """The options that leave it nothing to do."""
    why: str


def idle(options: Options) -> Iterator[Idle]:
    """Yield every option that would do nothing in a job of these options, given or not."""
    yield from _of_subsets(options)
    yield from _of_both(options)
    if all(":" in importance for importance in options.importance):
        named = ", ".join(options.importance) or "none"
        yield Idle("ess", ("importance",), f"importance={named}: none is without a sample size of its own")
    searched = bool(options.neighbours) or options.holdout is not None
    if not searched:
        why = "neighbours=0 and no holdout: no near-duplicates are looked for"
        yield Idle("duplicate_threshold", ("neighbours", "holdout"), why)
    if options.weight is None:
        yield Idle("weight_power", ("weight",), "no weight: budgets count examples")
    if options.order == "none":
        yield Idle("passes", ("order",), "order='none'")
    if options.embedding is not None or options.encoder == "hashing":
        cause = "encoder" if options.embedding is None else "embedding"
        why = f"{cause}={getattr(options, cause)!r}: no model is run"
        for option in ("dtype", "batch_size", *(() if searched else ("device",))):
            yield Idle(option, (cause,), why)


def _of_subsets(options: Options) -> Iterator[Idle]:
    """What decides how many easy subsets there are, and how they are chosen."""
    if options.optimizer == "lazy":
        for option in ("epochs", "easy_fraction"):
            yield Idle(option, ("optimizer",), "optimizer='lazy': greedy gives one subset")
    elif options.subsets is not None:
        for option in ("epochs", "easy_fraction"):
            yield Idle(option, ("subsets",), f"subsets={options.subsets}: the number needs not be computed")
    elif options.epochs is None:
        yield Idle("easy_fraction", ("epochs",), "no epochs: it says in how many of them subsets are used")
    if not options.subset_count:
        causes, why = _no_subsets(options)
        for option in ("objective", "optimizer", "epsilon", "weight_power"):
            yield Idle(option, causes, why)
    elif options.optimizer == "lazy":
        yield Idle("epsilon", ("optimizer",), "optimizer='lazy'")


def _of_both(options: Options) -> Iterator[Idle]:
    """What subsets and importances have in common."""
    causes, why = _no_subsets(options)
    if all(importance.base != "graph_cut" for importance in options.importances):
        if options.subset_count and options.objective != "graph_cut":
            causes, why = ("objective",), f"objective={options.objective!r}"
        if not options.subset_count or options.objective != "graph_cut":
            yield Idle("trade_off", (*causes, "importance"), f"{why}, and no importance=graph_cut")
    if not (options.subset_count or options.importance):
        for option in ("fraction", "budgets"):
            yield Idle(option, (*causes, "importance"), f"{why}, and no importance")


def _no_subsets(options: Options) -> tuple[tuple[str, ...], str]:
    cause = "subsets" if options.subsets is not None else "easy_fraction"
    return (cause, "epochs"), f"{cause}={getattr(options, cause)}: there are no easy subsets"
