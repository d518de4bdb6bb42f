"""Rules by the noise of the gradient: how large its variance is beside itself."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from syllabus.trainer.batch_size.checks import finite
from syllabus.trainer.batch_size.rule import Rule
from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.states import Field, integer, section

PATIENCE = 10  # decisions without a measurement before that is an error


def estimates(small: float, large: float, few: int, many: int) -> tuple[float, float]:
    """Return unbiased (tr Σ, ‖E g‖²) from ‖g‖² of the mean gradients of `few` and of `many` examples.

    McCandlish et al., arXiv:1812.06162, appendix A: E ‖g_B‖² = ‖E g‖² + tr Σ/B at both sizes, solved for the
    two unknowns. The few may be among the many.
    """
    noise = (small - large) / (1 / few - 1 / many)
    squared_gradient = (many * large - few * small) / (many - few)
    return noise, squared_gradient


@dataclasses.dataclass(frozen=True)
class _ByNoise(Rule):
    """What rules by noise share: without a measurement they would do nothing, and say so."""

    needs: ClassVar[frozenset[str]] = frozenset({"noise"})

    def begin(self, initial: int) -> dict[str, Any]:  # noqa: ARG002 - as every rule's
        """Return no decision without a measurement."""
        return {"unmeasured": 0}

    def check_state(self, initial: int) -> Field:  # noqa: ARG002 - as every rule's
        """Return what checks how many decisions were without."""
        return section({"unmeasured": integer(0, PATIENCE)})

    def _measured(self, state: dict[str, Any], at: Decision) -> bool:
        if at.averages.noise is not None and at.averages.squared_gradient is not None:
            return True
        state["unmeasured"] += at.updates > 0
        if state["unmeasured"] >= PATIENCE:
            raise TrainerError(
                f"{self.name}: no noise was measured in {PATIENCE} decisions: updates have one microbatch;"
                " give a smaller one"
            )
        return False


@dataclasses.dataclass(frozen=True)
class NoiseScale(_ByNoise):
    """B = scale·tr Σ/‖E g‖²: the simple noise scale, where twice the size is worth about √2 of it.

    McCandlish et al., arXiv:1812.06162. It is measured and recorded under every rule where an update has two
    microbatches; only this rule decides by it.

    Args:
        scale: multiplies the noise scale.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        self._take_plain()
        if not (finite(self.scale) and self.scale > 0):
            raise TrainerError(f"NoiseScale: scale={self.scale} is not above 0")

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float | None:  # noqa: ARG002
        """Return scale·tr Σ/‖E g‖², without bound where the gradient cannot be told from 0."""
        if not self._measured(state, at):
            return None
        noise, squared = at.averages.noise or 0.0, at.averages.squared_gradient or 0.0
        if noise <= 0:
            return None
        # The growth limit bounds it; an estimate below 0 says that noise is all there is.
        return self.scale * noise / squared if squared > 0 else math.inf


@dataclasses.dataclass(frozen=True)
class NormTest(_ByNoise):
    """B = tr Σ/(η²‖g‖²): large enough that the batch gradient's variance is η² of its squared norm.

    The norm test of Byrd et al. (2012), as Lau et al. use it (arXiv:2402.11215; under DDP 2412.21124): the
    size stays while tr Σ/B ≤ η²‖g‖², else it grows to where that holds. Both terms are averaged over
    `half_life` examples, and tr Σ is estimated from a microbatch and its update.

    Args:
        eta: η, in (0, 1]; smaller is larger batches.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"noise", "norm"})
    eta: float = 0.5

    def __post_init__(self) -> None:
        self._take_plain()
        if not (finite(self.eta) and 0 < self.eta <= 1):
            raise TrainerError(f"NormTest: eta={self.eta} is outside (0, 1]")

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float | None:  # noqa: ARG002
        """Return tr Σ/(η²‖g‖²) where the test fails."""
        if not self._measured(state, at) or at.averages.norm is None:
            return None
        noise, norm = at.averages.noise or 0.0, at.averages.norm
        if norm <= 0 or noise / at.batch_size <= self.eta**2 * norm:
            return None
        return noise / (self.eta**2 * norm)
