"""The draw of the members of smallest key that make a number of units, against sorting them all."""

from __future__ import annotations

import tempfile
from itertools import pairwise

import numpy as np
import pytest
from small_manifest import write_small_manifest

from syllabus.trainer.curriculum.budget import Units
from syllabus.trainer.curriculum.strata import WeightedStrata, starts_of


@pytest.mark.parametrize("weighs", ["anything", "less in front", "more in front", "one"])
@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.98])
def test_those_of_smallest_key_make_the_share(weighs, share):
    rng = np.random.default_rng(0)
    sizes = [3000, 0, 1, 700]
    keys, units = rng.random(3701), rng.geometric(0.01, 3701)
    if weighs != "anything":
        units = {"less in front": 1 + (1000 * keys**3).astype(int), "one": np.ones(3701, int)}.get(
            weighs, 1 + (1000 * (1 - keys) ** 3).astype(int)
        )
    starts = starts_of(np.array(sizes))
    strata = WeightedStrata(10 * np.arange(3701), starts, units)
    assert strata.sizes.tolist() == [int(units[a:b].sum()) for a, b in pairwise(starts)]
    shares = (share * strata.sizes).astype(np.int64)
    expected = set()
    for part, limit in enumerate(shares):
        begin = 0
        for place in sorted(range(starts[part], starts[part + 1]), key=keys.__getitem__):
            if begin + units[place] / 2 < limit:
                expected.add(10 * place)
            begin += units[place]
    chosen = strata.smallest(keys, shares)
    assert len(chosen) == len(expected)
    assert set(chosen.tolist()) == expected
    assert len(strata.smallest(keys, strata.sizes)) == 3701


def test_shares_near_the_largest_weights_are_drawn_too():
    rng = np.random.default_rng(3)
    units = rng.integers(1 << 40, 1 << 41, 4000)
    keys, strata = rng.random(4000), WeightedStrata(np.arange(4000), starts_of(np.array([4000])), units)
    share = int(strata.sizes[0]) * 9 // 10
    assert 4000 * share > np.iinfo(np.int64).max
    order = np.argsort(keys)
    expected = order[np.cumsum(units[order]) - units[order] / 2 < share]
    assert sorted(strata.smallest(keys, np.array([share]))) == sorted(expected)


@pytest.mark.parametrize("factor", [1, 9])
def test_members_are_found_in_dense_and_sparse_indices(factor):
    lengths = np.random.default_rng(1).integers(1, 50, 40)
    with tempfile.TemporaryDirectory() as folder:
        made = write_small_manifest(folder + "/m", n=40, fractions=(), weights=lengths)
        units = Units.of(made, 0.5, None)
        examples = made.examples() * factor
        mixed = np.random.default_rng(2).permutation(40)
        assert units.of_members(examples[mixed], examples).tolist() == lengths[mixed].tolist()
