"""Learning rates of short runs and of longer ones: what a search multiplies them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from syllabus.trainer.errors import TrainerError
from syllabus.trainer.tuning.horizon import Exponent, Observation, fit_exponent, prior_of
from syllabus.trainer.tuning.result import Result
from syllabus.trainer.tuning.space import OPTIMIZERS
from syllabus.trainer.validation import one_of, real


class Correction:
    """Carries learning rates from one length of training to another by (length)^−α.

    Args:
        correction: ``fit``, a number, or ``off``.
        rates: names of the learning rates.
        maximize: whether larger scores are better.

    Attributes:
        recognised: the optimizer that runs were seen to train with, all of them the same; else "". It counts
            where the space has none.

    Raises:
        TrainerError: another word, a number outside [-1, 2].
    """

    def __init__(self, correction: Any, rates: Sequence[str], maximize: bool) -> None:
        self._rates, self._sign = tuple(rates), 1 if maximize else -1
        self.recognised = ""
        self.fixed: float | None = None
        if isinstance(correction, str):
            if one_of("Search", "correction", correction, ("fit", "off")) == "off":
                self.fixed = 0.0
        else:
            self.fixed = real("Search", "correction", correction)
            if not -1 <= self.fixed <= 2:
                raise TrainerError(f"Search: correction={self.fixed:g} is outside [-1, 2]")

    def shortened(self, params: Mapping[str, Any], share: float) -> dict[str, Any]:
        """Return the parameters for a run on a share of the examples, before anything was measured."""
        return self._times(
            params, share ** -(prior_of(self._group_of(params)) if self.fixed is None else self.fixed)
        )

    def carried(self, result: Result, share: float, exponents: Mapping[str, Exponent]) -> dict[str, Any]:
        """Return the parameters of a finished run for one on another share."""
        if not self._rates:
            return dict(result.params)
        exponent = exponents[self._group_of(result.params)]
        return self._times(result.params, (result.share / share) ** exponent.value)

    def exponents(self, results: Sequence[Result]) -> dict[str, Exponent]:
        """Return α for each optimizer of the search, by its finished runs; none where no rate is known."""
        if not self._rates:
            return {}
        groups = sorted({self._group_of(result.params) for result in results if result.params})
        if self.fixed is not None:
            return {group: Exponent(self.fixed, self.fixed, self.fixed) for group in groups}
        scored = [result for result in results if result.score is not None]
        return {
            group: fit_exponent(
                [self._observed(r) for r in scored if self._group_of(r.params) == group], prior_of(group)
            )
            for group in groups
        }

    def _group_of(self, params: Mapping[str, Any]) -> str:
        """Return what an exponent of its own is fitted for: the optimizer, where it is known."""
        return next((str(params[name]) for name in OPTIMIZERS if name in params), self.recognised)

    def _observed(self, result: Result) -> Observation:
        others = {name: value for name, value in result.params.items() if name not in self._rates}
        # Several rates are moved together: one tells how far.
        rate = result.params[self._rates[0]]
        return Observation(rate, result.share, self._sign * float(result.score or 0.0), others)

    def _times(self, params: Mapping[str, Any], factor: float) -> dict[str, Any]:
        return {name: value * factor if name in self._rates else value for name, value in params.items()}
