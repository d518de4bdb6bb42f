"""Rules that follow a plan and measure nothing: the same size, growth by updates, growth by a factor."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from syllabus.trainer.batch_size.checks import check_positive, finite
from syllabus.trainer.batch_size.rule import Rule
from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.states import Field, number, section


@dataclasses.dataclass(frozen=True)
class PadaDamp(Rule):
    """B = B₀ + rate·updates: AdaDamp's growth for convex losses, where F − F* falls as 1/k.

    Give one of three:

        PadaDamp(rate=0.01)
        PadaDamp(final=512, examples=20 * 60_000)       # the size that so many examples shall end at
        PadaDamp(updates=5_000, examples=20 * 60_000)   # the updates that they shall be divided into

    From B = B₀ + rk and ΣB = x: r = (B_M² − B₀²)/(2x), and with M updates r = 2(x/M − B₀)/M.

    Raises:
        TrainerError: none or several of the three, or numbers that would let the size fall.
    """

    planned: ClassVar[bool] = True
    rate: float | None = None
    final: int | None = None
    updates: int | None = None
    examples: int | None = None

    def __post_init__(self) -> None:
        self._take_plain()
        given = tuple(f.name for f in dataclasses.fields(self) if getattr(self, f.name) is not None)
        if given not in (("rate",), ("final", "examples"), ("updates", "examples")):
            raise TrainerError(
                f"PadaDamp: {', '.join(given) or 'nothing'} is given; give rate, or final and examples, or"
                " updates and examples"
            )
        for name in given:
            check_positive(self.name, name, getattr(self, name), zero=name == "rate")

    def rate_from(self, initial: int) -> float:
        """Return by how many examples each update is larger than the one before.

        Raises:
            TrainerError: the rate would be below 0.
        """
        if self.rate is not None:
            return self.rate
        examples = float(self.examples or 0)
        if self.final is not None:
            rate = (self.final**2 - initial**2) / (2 * examples)
            asked = f"final={self.final}"
        else:
            count = float(self.updates or 0)
            rate = 2 * (examples / count - initial) / count
            asked = f"updates={self.updates} of {examples / count:.6g} examples each"
        if rate < 0:
            raise TrainerError(f"PadaDamp: {asked} would let the batch size fall below initial={initial}")
        return rate

    def begin(self, initial: int) -> dict[str, Any]:
        """Return the rate."""
        return {"rate": self.rate_from(initial)}

    def check_state(self, initial: int) -> Field:
        """Return what checks the rate, which follows from the options."""
        rate = self.rate_from(initial)
        return section({"rate": number(rate, rate)})

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float:
        """Return B₀ + rate·updates."""
        return float(initial + state["rate"] * at.updates)


@dataclasses.dataclass(frozen=True)
class GeoDamp(Rule):
    """B = B₀·factor^⌊epochs / every⌋: the size instead of the learning rate by steps; nothing is measured.

    Smith et al., arXiv:1711.00489. In the paper's own figures the best in accuracy: what others must beat.

    Args:
        factor: above 1.
        epochs: finished passes over the data between two steps; or
        examples: examples between two steps.

    Raises:
        TrainerError: both or neither of the two, or a number out of bounds.
    """

    planned: ClassVar[bool] = True
    factor: float = 2.0
    epochs: int | None = None
    examples: int | None = None

    def __post_init__(self) -> None:
        self._take_plain()
        if (self.epochs is None) == (self.examples is None):
            raise TrainerError("GeoDamp: give epochs or examples, one of the two")
        if not (finite(self.factor) and self.factor > 1):
            raise TrainerError(f"GeoDamp: factor={self.factor} is not above 1")
        name = "epochs" if self.examples is None else "examples"
        check_positive(self.name, name, getattr(self, name))

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float:  # noqa: ARG002
        """Return B₀·factor^steps."""
        done, every = (
            (at.signals.epoch, self.epochs) if self.examples is None else (at.examples, self.examples)
        )
        # A wish beyond float64 is one without bound: the cap decides.
        steps = min(done // (every or 1), int(1000 / math.log2(self.factor)))
        return initial * self.factor**steps


@dataclasses.dataclass(frozen=True)
class Constant(Rule):
    """B = B₀: plain training, to compare with."""

    planned: ClassVar[bool] = True

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float:  # noqa: ARG002
        """Return B₀."""
        return float(initial)
