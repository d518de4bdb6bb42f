"""RandGreeDi: greedy inside random parts, and again over what they chose.

Mirzasoleiman et al., "Distributed submodular maximization" (2013); Barbosa et al., "The power of
randomization" (2015): with random parts, budget-many rows from each, and the better of greedy over their
union and the best part, f(S) >= (1 - 1/e)/2 f(OPT) in expectation for monotone submodular f. Fewer rows from
each part, in rounds until the union fits as in arXiv 2402.16442, have no such bound and lose little.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.numerics.counter_rng import key_of, mix_words, stream
from syllabus.selectors.optimizers.maximize import maximize
from syllabus.selectors.selection import Selection
from syllabus.selectors.validation import (
    Seed,
    budget_of,
    indices_of,
    real_number,
    seed_words,
    whole_number,
)

_PURPOSE = 4  # of the random keys
SHARES = ("size", "gain")
FunctionOf = Callable[[NDArray[np.int64]], SetFunction]
"""Makes the set function over some rows, given by their ascending numbers; its row i is the i-th of them."""


def random_parts(n: int, parts: int, seed: Seed, round_: int = 0) -> NDArray[np.int64]:
    """Return which of `parts` parts each of n rows is in, (n,) int64: drawn evenly, sizes one apart.

    Row i's random number depends on (seed, round, i) alone.
    """
    n = whole_number(n, "n", 1, 2**62, "[1, 2^62]", "random_parts")
    parts = whole_number(parts, "parts", 1, n, f"[1, n={n}]", "random_parts")
    key = stream(key_of(seed_words(seed, "random_parts"), _PURPOSE), round_)
    with np.errstate(over="ignore"):
        numbers = mix_words(mix_words(np.arange(n, dtype=np.uint64)) ^ key)
    place = np.empty(n, np.int64)
    place[np.argsort(numbers, kind="stable")] = np.arange(n)
    return place * parts // n


def rand_greedi(
    function: FunctionOf,
    n: int,
    budget: int,
    part_rows: int,
    seed: Seed,
    oversampling: float = 4.0,
    rounds: int = 1,
    final: FunctionOf | None = None,
    parts: NDArray[np.int64] | None = None,
    rows: NDArray[np.int64] | None = None,
    share: str = "size",
) -> Selection:
    """Return `budget` of n rows by greedy that never selects from more than about `part_rows` at once.

    Where all fit they are one part, and the selection is greedy's. Else each part keeps its share of
    oversampling · budget rows, never more than the budget, and greedy selects from those kept by all.
    Parts that are not drawn evenly hold more or less than others of their size: `share="gain"`.

    Args:
      function: makes f over the rows of a part, for example `lambda rows: GraphCut(vectors[rows])`; f may
        be of the part alone.
      n: how many rows there are.
      budget: 1 <= budget <= n.
      part_rows: most rows of a part; at least oversampling · budget, the rows of the last one.
      seed: of the random parts, a whole number or a tuple of them.
      oversampling: >= 1. From the number of parts on each part keeps `budget` rows, as published.
      rounds: in how many steps, of equal ratios, the rows shrink to the last part; new parts in each.
      final: makes f over the rows kept, which should be f of all data: for facility location
        `lambda rows: SparseFacilityLocation(vectors[rows], served=vectors, floor=True)`. None: `function`.
      parts: (n,) part of each row in the first round, for example by `kmeans.assign`: parts of like rows
        suit facility location, and harm graph cut. None: random ones.
      rows: the rows to select from, for example those that `bound` left; `parts` are of these. None: all.
      share: "size": a part keeps rows in proportion to its own. "gain": each has a greedy of as many rows as
        the budget, and of all their picks those of the largest gains are kept. For functions whose gains are
        what a row does for others, as facility location; those of graph cut grow with the part.

    Returns:
      The selection, its objective by `final`; an upper bound only where there is one part.

    Cost: a greedy selection in each part, one after the other.

    Raises:
      SelectionError: an argument out of range, or parts too small for what is kept.
    """
    caller = "rand_greedi"
    n = whole_number(n, "n", 1, 2**62, "[1, 2^62]", caller)
    left = np.arange(n) if rows is None else np.sort(indices_of(rows, n, f"{caller}: rows"))
    budget = budget_of(budget, max(1, len(left)), caller)
    part_rows = whole_number(part_rows, "part_rows", 1, 2**62, "[1, 2^62]", caller)
    oversampling = real_number(
        oversampling, "oversampling", lambda value: 1 <= value < math.inf, "[1, inf)", caller
    )
    rounds = whole_number(rounds, "rounds", 1, 64, "[1, 64]", caller)
    if share not in SHARES:
        raise SelectionError(f"{caller}: share={share!r} is unknown; valid: {', '.join(SHARES)}")
    numbers = None if parts is None else _parts_of(parts, len(left))
    if numbers is None and len(left) <= part_rows:
        return _named(left, maximize(function(left), budget))
    last = min(math.ceil(oversampling * budget), len(left))
    if last > part_rows:
        raise SelectionError(
            f"{caller}: part_rows={part_rows} is below oversampling · budget, the {last} rows of"
            " the last part"
        )
    ratio, best = (last / len(left)) ** (1 / rounds), None
    for number in range(rounds):
        if numbers is None:
            numbers = random_parts(len(left), -(-len(left) // part_rows), seed, number)
        keep = last if number == rounds - 1 else max(last, math.ceil(ratio * len(left)))
        left, best = _round(function, left, numbers, keep, budget, share)
        numbers = None
    whole = final or function
    selection = _named(left, maximize(whole(left), budget))
    if best is not None:
        other = whole(best)
        order = np.arange(budget)
        if other.value(order) > selection.objective:
            selection = _named(best, maximize(other, budget))
    return Selection(selection.indices, selection.gains, selection.objective, None)


def _parts_of(parts: Any, n: int) -> NDArray[np.int64]:
    numbers = indices_of(parts, 2**62, "rand_greedi: parts", distinct=False)
    if len(numbers) != n:
        raise SelectionError(f"rand_greedi: parts have {len(numbers)} numbers; there are {n} rows")
    return numbers


def _round(
    function: FunctionOf,
    left: NDArray[np.int64],
    numbers: NDArray[np.int64],
    keep: int,
    budget: int,
    share: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """The rows that parts keep, and where all keep the whole budget those of the best; ascending."""
    kept, gains, values = [], [], []
    for number in np.unique(numbers):
        own = left[numbers == number]
        most = keep if share == "gain" else -(-keep * len(own) // len(left))
        selection = maximize(function(own), min(len(own), budget, most))
        kept.append(own[selection.indices])
        gains.append(selection.gains)
        values.append(selection.objective)
    rows = np.concatenate(kept)
    if share == "gain":
        # Of equal gains those of the smallest rows.
        rows = rows[np.lexsort((rows, -np.concatenate(gains)))[:keep]]
    best = np.sort(kept[int(np.argmax(values))]) if all(len(own) == budget for own in kept) else None
    return np.sort(rows), best


def _named(rows: NDArray[np.int64], selection: Selection) -> Selection:
    """The selection of some of `rows` by their numbers."""
    return Selection(rows[selection.indices], selection.gains, selection.objective, selection.upper_bound)
