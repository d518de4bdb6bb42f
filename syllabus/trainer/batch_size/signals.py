"""What a batch size is decided by, and what was decided: plain numbers, equal on all ranks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Signals:
    """What was measured since the decision before; None or empty where nothing was.

    Attributes:
        losses: of each update, its batch's mean loss an example (in the order of the updates).
        counts: of each update, its examples on all ranks.
        norms: of each update, ‖g‖² of its batch's mean gradient; empty where norms are not measured.
        noise: unbiased estimate of tr Σ, the summed variance of one example's gradient.
        squared_gradient: unbiased estimate of ‖E g‖²; may be below 0, as unbiased estimates of it can.
        probe_loss: mean loss on the probe subset in eval mode.
        probe_norm: ‖g‖² of the probe subset's mean gradient in eval mode.
        epoch: passes over the data that were finished.
    """

    losses: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    norms: tuple[float, ...] = ()
    noise: float | None = None
    squared_gradient: float | None = None
    probe_loss: float | None = None
    probe_norm: float | None = None
    epoch: int = 0


@dataclass(frozen=True)
class Averages:
    """Running averages over examples, what a rule sees of noisy signals; None before the first.

    An average's weight halves every `half_life` examples, so that it does not depend on how many updates the
    examples were divided into.
    """

    loss: float | None = None
    norm: float | None = None
    noise: float | None = None
    squared_gradient: float | None = None


class Decision(NamedTuple):
    """The size of the next updates, and the record of what it was decided by.

    A named tuple and not a frozen dataclass, which takes longer to make: plans make two an update.

    Attributes:
        updates: updates done before it.
        examples: examples trained on before it, by all ranks together.
        batch_size: examples an update, on all ranks together.
        lr_factor: multiplies the learning rate of every parameter group.
        beta2_power: of an Adam-like optimizer, the power that β₂ is raised to: batch size over first size.
        target: what the rule asked for, in examples, after the limits and before rounding and cap.
        signals: what was measured.
        averages: of what was measured so far.
    """

    updates: int
    examples: int
    batch_size: int
    lr_factor: float = 1.0
    beta2_power: float = 1.0
    target: float = math.nan
    signals: Signals = Signals()
    averages: Averages = Averages()

    def applies_as(self, other: Decision) -> bool:
        """Return whether it changes nothing of what `other` applies."""
        return (self.batch_size, self.lr_factor, self.beta2_power) == (
            other.batch_size,
            other.lr_factor,
            other.beta2_power,
        )

    def state(self) -> dict[str, Any]:
        """Return plain values that `of` makes the decision of again."""
        signals = {n: list(v) if isinstance(v, tuple) else v for n, v in asdict(self.signals).items()}
        return {**self._asdict(), "signals": signals, "averages": asdict(self.averages)}

    @classmethod
    def of(cls, state: dict[str, Any]) -> Decision:
        """Return the decision that `state` was made of."""
        signals: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in state["signals"].items()
        }
        averages = Averages(**state["averages"])
        return cls(**{**state, "signals": Signals(**signals), "averages": averages})
