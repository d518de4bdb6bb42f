"""Walks over rows in pieces: as over the same rows in one, and what is not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from grab_runs import make
from small_network import data, network
from torch.nn import functional

from syllabus.selectors.balancing.vectors import DenseVectors, walk_pairs
from syllabus.selectors.balancing.walks import Halving, pair_walk
from syllabus.trainer import FullGradients

WIDTHS = (3, 2500, 1)


def whole(count: int, seed: int = 0) -> torch.Tensor:
    """Whole numbers, whose sums are exact."""
    return torch.from_numpy(
        np.random.default_rng(seed).integers(-3, 4, (count, sum(WIDTHS))).astype(np.float32)
    )


@pytest.mark.parametrize("halved", [False, True])
def test_pieces_are_walked_as_the_rows_that_they_are(halved):
    rows = whole(24)
    expected, position = np.zeros(sum(WIDTHS)), torch.zeros(sum(WIDTHS), dtype=torch.float64)
    halving = [Halving(12, 2, (3,)) if halved else None for _ in range(2)]
    signs = pair_walk(rows.numpy(), np.arange(24), expected, halving[0])
    block = DenseVectors(*rows.split(WIDTHS, 1))
    # A row from before is in one piece, as a state has it.
    later = block.cut(11, 24).after(DenseVectors(*block.cut(10, 11).state()))
    found = [walk_pairs(part, position, halving[1]) for part in (block.cut(0, 10), later)]
    assert np.concatenate(found).tolist() == signs.tolist()
    assert (position.numpy() == expected).all()
    assert torch.equal(block.rows, rows)
    assert torch.equal(block.gram(), DenseVectors(rows).gram())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(9, 0), (8, 1400), (0, -1)])
def test_what_is_not_finite_in_any_piece_of_any_pair_leaves_the_walk_as_it_was(bad, place):
    rows = whole(10)
    position = whole(1, seed=1)[0].double()
    position[place[1]] = 0  # 0 times infinity shows, too
    halving = Halving(20, 2, (3,))
    walk_pairs(DenseVectors(whole(4, seed=2)), position, halving)
    before, state = position.clone(), (float(halving.spread[0]), halving.done)
    rows[place] = bad
    for thresholds in (None, halving):
        assert walk_pairs(DenseVectors(*rows.split(WIDTHS, 1)), position, thresholds) is None
        assert torch.equal(position, before)
    assert (float(halving.spread[0]), halving.done) == state


def test_a_full_gradient_that_is_not_finite_is_passed_over_and_its_examples_keep_their_rank():
    x, y = data(20)
    sampler, grab = make(20)
    sampler.set_epoch(0)
    order = list(sampler)
    full = FullGradients(network(), functional.cross_entropy)
    for first in range(0, 20, 4):
        rows = order[first : first + 4]
        inputs = x[rows]
        if first == 8:
            inputs[3, 0] = torch.inf
        full.backward(inputs, y[rows])
        grab.step(full())
    sampler.set_epoch(1)
    after = list(sampler)
    assert sorted(after) == list(range(20))
    assert [row for row in after if row in order[8:12]] == order[8:12]
    assert after[8:12] == order[8:12]
    assert after != order
