"""Rules that raise the batch size as the loss falls: Sievert and Shah, arXiv:1910.08222.

With the variance of a gradient bounded, an update loses about γ²LM²/(2B) to noise and gains (γ/2)‖∇F‖²; with
B ≥ c/(F − F*) the loss falls by a constant share (strongly convex) or as 1/k (convex), as gradient descent's
does, while ΣB stays of the order of SGD's. So there are fewer updates, not fewer gradients, and not a better
model; updates are time only where the hardware grows with the batch.

Growing the batch *is* the decay of the learning rate: with these rules lower it no further by a schedule.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any, ClassVar

from syllabus.trainer.batch_size.checks import check_share, check_source, finite
from syllabus.trainer.batch_size.controller import BatchSizeController
from syllabus.trainer.batch_size.rule import Rule
from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.states import Field, number, optional, row, section, several

REDUCTIONS: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "mean": statistics.fmean,
    "median": statistics.median,
    "max": max,
}
HISTORY_GROWTH = 1.1  # losses are kept at examples that grow by this factor: O(log examples) of them


@dataclasses.dataclass(frozen=True)
class AdaDamp(Rule):
    """B = B₀ (F₀ − F*) / (F − F*): the size goes with 1 over what is left of the loss.

    Args:
        loss: ``probe``: the exact loss of a fixed probe subset in eval mode, first measured before the first
            update; costs a third of a gradient for each of its examples. ``average``: a running average of
            the batch losses, for nothing; biased where the curriculum or GraB orders examples by their loss.
        optimum: F*, the lowest loss that can be reached; 0 by default. ``estimated`` finds it from the losses
            so far: if F − F* falls as 1/examples, F* = 2F(x) − F(x/2), taken at least 0.
        guard: F − F* is taken at least this share of F₀ − F*, as estimates may fall below F*; 0 makes that an
            error.

    Raises:
        TrainerError: an unknown source, an optimum that is no number, a guard outside [0, 1).
    """

    loss: str = "probe"
    optimum: float | str = 0.0
    guard: float = 1e-3

    def __post_init__(self) -> None:
        self._take_plain()
        check_source(self.name, "loss", self.loss)
        if self.optimum != "estimated" and not finite(self.optimum):
            raise TrainerError(
                f"AdaDamp: optimum={self.optimum!r} is neither a finite number nor 'estimated'"
            )
        check_share(self.name, "guard", self.guard)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The loss, from where it is asked for."""
        return frozenset({"probe_loss" if self.loss == "probe" else "loss"})

    @property
    def compares_averages(self) -> bool:
        """Whether the first loss is an average."""
        return self.loss == "average"

    def begin(self, initial: int) -> dict[str, Any]:  # noqa: ARG002 - as every rule's
        """Return no first loss, and no history."""
        return {"first": None, "history": []}

    def check_state(self, initial: int) -> Field:  # noqa: ARG002 - as every rule's
        """Return what checks the first loss and the history, whose examples rise."""
        return section({"first": optional(number()), "history": _history})

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float | None:
        """Return B₀ (F₀ − F*) / (F − F*)."""
        loss = at.signals.probe_loss if self.loss == "probe" else at.averages.loss
        if loss is None or not math.isfinite(loss):
            return None
        if state["first"] is None:
            state["first"] = loss
        optimum = self._optimum(state["history"], at.examples, loss)
        left, span = loss - optimum, state["first"] - optimum
        if span <= 0:
            raise TrainerError(
                f"AdaDamp: the first loss {state['first']:.6g} is not above optimum={optimum:.6g}"
            )
        if left <= 0 and not self.guard:
            raise TrainerError(f"AdaDamp: the loss {loss:.6g} is not above optimum={optimum:.6g}")
        # In this order: with the paper's integers the quotient is then exact where it can be.
        return float(initial * span / max(left, self.guard * span))

    def _optimum(self, history: list[list[float]], examples: int, loss: float) -> float:
        if self.optimum != "estimated":
            return float(self.optimum)
        if not history or examples >= max(history[-1][0], 1) * HISTORY_GROWTH:
            history.append([float(examples), loss])
        # F(x/2), interpolated in 1/x, in which F is then a line; 2F(x) − F(x/2) = F*.
        half = examples / 2
        before = [place for place in history if place[0] <= half]
        after = [place for place in history if place[0] > half]
        if not before or not after or before[-1][0] == 0:
            return 0.0
        (x0, f0), (x1, f1) = before[-1], after[0]
        middle = f0 + (f1 - f0) * (1 / x0 - 1 / half) / (1 / x0 - 1 / x1)
        return min(max(2 * loss - middle, 0.0), loss)


@dataclasses.dataclass(frozen=True)
class AdaDampNN(Rule):
    """B = B₀ ‖g₀‖² / ‖g‖²: the rule for what is not convex, by the gradient's norm.

    Args:
        gradient: ``probe``: the exact gradient of a fixed probe subset in eval mode; costs a gradient for
            each of its examples. ``average``: a running average of the batch gradients' squared norms, for
            one pass over the parameters an update. That of a batch is too large by tr Σ/B, so the average
            falls as the size grows, and the size with it: give `maximum`.
        guard: ‖g‖² is taken at least this share of ‖g₀‖².
    """

    gradient: str = "probe"
    guard: float = 1e-3

    def __post_init__(self) -> None:
        self._take_plain()
        check_source(self.name, "gradient", self.gradient)
        check_share(self.name, "guard", self.guard)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The norm, from where it is asked for."""
        return frozenset({"probe_norm" if self.gradient == "probe" else "norm"})

    @property
    def compares_averages(self) -> bool:
        """Whether the first norm is an average."""
        return self.gradient == "average"

    def begin(self, initial: int) -> dict[str, Any]:  # noqa: ARG002 - as every rule's
        """Return no first norm."""
        return {"first": None}

    def check_state(self, initial: int) -> Field:  # noqa: ARG002 - as every rule's
        """Return what checks the first norm."""
        return section({"first": optional(number(0))})

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float | None:
        """Return B₀ ‖g₀‖² / ‖g‖²."""
        norm = at.signals.probe_norm if self.gradient == "probe" else at.averages.norm
        if norm is None or not math.isfinite(norm):
            return None
        if state["first"] is None:
            state["first"] = norm
        least = self.guard * state["first"]
        if max(norm, least) <= 0:
            raise TrainerError("AdaDampNN: the gradient is 0; nothing is left to learn")
        return float(initial * state["first"] / max(norm, least))


@dataclasses.dataclass(frozen=True)
class RadaDamp(Rule):
    """B = B₀ / ½(L/L₀ + N/N₀), not below B₀: batch losses and gradient norms, smoothed, at no cost.

    As in the paper's code: L and N are the `reduction` of the batch losses and of ‖g‖² since the last
    decision, averaged with what they were, whose weight is `keep`; L₀ and N₀ are their values at the end of
    `wait`.

    Args:
        reduction: ``min``, ``mean``, ``median`` or ``max``.
        keep: weight of the old value, in [0, 1).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"loss", "norm"})
    reduction: str = "min"
    keep: float = 0.2

    def __post_init__(self) -> None:
        self._take_plain()
        if self.reduction not in REDUCTIONS:
            known = ", ".join(REDUCTIONS)
            raise TrainerError(f"RadaDamp: reduction {self.reduction!r} is unknown; known: {known}")
        check_share(self.name, "keep", self.keep)

    @property
    def compares_averages(self) -> bool:
        """Always."""
        return True

    def begin(self, initial: int) -> dict[str, Any]:  # noqa: ARG002 - as every rule's
        """Return no values."""
        return {"now": None, "first": None}

    def check_state(self, initial: int) -> Field:  # noqa: ARG002 - as every rule's
        """Return what checks the two pairs of loss and norm."""
        pair = optional(row(number(), number(0)))
        return section({"now": pair, "first": pair})

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float | None:
        """Return B₀ / ½(L/L₀ + N/N₀)."""
        losses = [value for value in at.signals.losses if math.isfinite(value)]
        norms = [value for value in at.signals.norms if math.isfinite(value)]
        if not losses or not norms:
            return None
        new = [float(REDUCTIONS[self.reduction](values)) for values in (losses, norms)]
        old = state["now"] or new
        state["now"] = [self.keep * a + (1 - self.keep) * b for a, b in zip(old, new, strict=True)]
        if state["first"] is None:
            state["first"] = list(state["now"])
        damping = statistics.fmean(
            now / first if first > 0 else 0.0 for now, first in zip(state["now"], state["first"], strict=True)
        )
        return max(initial / damping, initial) if damping > 0 else None


def _history(where: str, name: str, value: Any) -> list[list[float]]:
    """Pairs of examples, which rise, and losses."""
    pairs: list[list[float]] = several(row(number(0), number()))(where, name, value)
    if any(b <= a for (a, _), (b, _) in itertools.pairwise(pairs)):
        raise TrainerError(f"{where}: {name}: the examples do not rise")
    return pairs


def published(initial: int, optimum: float = 0.0) -> BatchSizeController:
    """Return the paper's rule and nothing else: B = ⌈B₀ (F₀ − F*)/(F − F*)⌉ at each update.

    By the exact loss, with no dwell, no limit on growth, no cap, no averages; the size may fall; β₂ and
    learning rate are left alone. The exact loss costs a third of a gradient for each example of the probe at
    each update: with all of a large data set that is more than the training itself.
    """
    return BatchSizeController(
        AdaDamp(loss="probe", optimum=optimum, guard=0.0),
        initial,
        minimum=1,
        every=0,
        wait=0,
        growth=math.inf,
        monotone=False,
        beta2="fixed",
    )
