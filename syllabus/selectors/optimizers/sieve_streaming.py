"""Sieve-streaming: one pass over data that does not fit, a set function of the picked rows alone.

Badanidiyuru et al., "Streaming submodular maximization: massive data summarization on the fly", 2014. For
guesses v = (1 + ε)^i of the optimum a set each: it takes a row whose gain is at least (v/2 - f(S))/(k - |S|).
The best of the sets has at least (1/2 - ε) f(OPT) for monotone submodular f. That is all it has where
gains are much alike: it then fills up with the first rows. It is for streams where some rows add far more.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.feature_based import FeatureBased
from syllabus.selectors.functions.log_determinant import LogDeterminant
from syllabus.selectors.selection import Selection
from syllabus.selectors.validation import real_number, whole_number


def sieve(
    blocks: Iterable[NDArray[np.float32]],
    function: Callable[[NDArray[np.float32]], SetFunction],
    budget: int,
    epsilon: float = 0.1,
) -> Selection:
    """Return at most `budget` rows of a stream; indices count its rows from 0.

    Args:
      blocks: (b, d) float32 arrays, one after another; each is looked at once.
      function: makes the set function of given rows: `FeatureBased`, `LogDeterminant` with r >= 1, or either
        with options. Others are refused: their f depends on rows that have gone by.
      budget: at least 1.
      epsilon: in (0, 1/2]; about ln(2 k)/ε sets are kept, of at most k rows each.

    Cost: a gain of every row for each set, and of the rest of its block again after each pick.
    """
    budget = whole_number(budget, "budget", 1, 2**31, "[1, 2^31]", "sieve")
    epsilon = real_number(epsilon, "epsilon", lambda value: 0 < value <= 0.5, "(0, 1/2]", "sieve")
    guesses: dict[int, _Guess] = {}
    largest, seen = 0.0, 0
    for block in blocks:
        alone = _checked(function(block))
        state = alone.state()
        everyone = np.arange(alone.n)
        largest = max(largest, float(state.gains(state.scores(everyone)).max()))
        if largest > 0.0:
            low = math.ceil(math.log(largest) / math.log1p(epsilon))
            high = math.floor(math.log(2 * budget * largest) / math.log1p(epsilon))
            # Sets of guesses below `low` cannot be the ones that the promise is about.
            guesses = {i: guesses.get(i) or _Guess() for i in range(low, high + 1)}
        for power, guess in guesses.items():
            guess.look_at(alone.rows, seen, function, budget, (1 + epsilon) ** power)
        seen += alone.n
    if seen == 0:
        raise SelectionError("sieve: the stream is empty; expected at least one block")
    best = max(guesses.values(), key=lambda guess: guess.value, default=_Guess())
    return Selection(np.array(best.indices, np.int64), np.array(best.gains), best.value, None)


class _Guess:
    """The set of one guess of the optimum."""

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.gains: list[float] = []
        self.rows: list[NDArray[np.float32]] = []
        self.value = 0.0

    def look_at(
        self,
        block: NDArray[np.float32],
        offset: int,
        function: Callable[[NDArray[np.float32]], SetFunction],
        budget: int,
        optimum: float,
    ) -> None:
        """Take what is worth it from a block."""
        if len(self.indices) == budget:
            return
        held = len(self.rows)
        known = _checked(function(np.concatenate([np.stack(self.rows), block]) if held else block))
        state = known.state()
        state.add_all(np.arange(held))
        place = held
        while len(self.indices) < budget and place < known.n:
            candidates = np.arange(place, known.n)
            scores = state.scores(candidates)
            gains = state.gains(scores)
            wanted = (optimum / 2 - self.value) / (budget - len(self.indices))
            worth = np.flatnonzero((gains >= wanted) & (gains > 0))
            if not len(worth):
                return
            taken = int(worth[0])
            gain = state.add(int(candidates[taken]), float(scores[taken]))
            self.indices.append(offset + int(candidates[taken]) - held)
            self.gains.append(gain)
            self.rows.append(known.rows[candidates[taken]].copy())
            self.value = state.value()
            place = int(candidates[taken]) + 1


def _checked(function: Any) -> FeatureBased | LogDeterminant:
    if not isinstance(function, (FeatureBased, LogDeterminant)) or not function.monotone:
        name = getattr(function, "name", type(function).__name__)
        raise SelectionError(
            f"sieve: {name} cannot be streamed; valid: feature_based, log_determinant (regularisation >= 1)"
        )
    if isinstance(function, LogDeterminant) and function.similarity.measured:
        raise SelectionError("sieve: the width of 'rbf' would be another in each block; give Rbf(width)")
    return function
