"""Sketches of factors by a plain reference, how good orders over them are, and when last layers use them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from syllabus.selectors import herding
from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.pieces import pieces_pair_walk
from syllabus.selectors.balancing.vectors import DenseVectors, walk_pairs
from syllabus.trainer import CountSketch, LastLayer, TrainerError
from syllabus.trainer.gradients import FactorSketch, count_sketch


def factors(rows: int, p: int, q: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, p, generator=generator), torch.randn(rows, q, generator=generator)


def written(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bp,bq->bpq", left, right).flatten(1)


def of_units(size: int, sketch: CountSketch) -> torch.Tensor:
    """The (size, width) matrix of a count sketch, from what it makes of unit vectors."""
    return sketch([torch.eye(size)]).rows


@pytest.mark.parametrize("bias", [False, True])
def test_it_is_the_outer_product_of_the_count_sketches_of_both_factors(bias):
    left, right = factors(7, 70, 90)
    r, s, no_bias = FactorSketch(128, seed=3)(left, right, bias)
    assert not no_bias
    right = torch.cat([right, torch.ones(7, 1)], 1) if bias else right
    assert r.shape == (7, 16)
    assert s.shape == (7, 8)
    torch.testing.assert_close(r, left @ of_units(70, CountSketch(16, seed=6)))
    torch.testing.assert_close(s, right @ of_units(right.shape[1], CountSketch(8, seed=7)))


def test_factors_that_fit_stay_as_they_are():
    for p, q, expected in (
        (10, 512, (10, 96)),
        (1000, 9, (112, 9)),
        (10, 102, (10, 102)),
        (300, 300, (32, 32)),
    ):
        assert FactorSketch(1024, seed=0).sizes(p, q) == expected
    for width in range(1, 40):
        for p, q in ((1, 1), (3, 50), (50, 3), (50, 60)):
            r, s = FactorSketch(width, seed=0).sizes(p, q)
            assert 1 <= r <= p
            assert 1 <= s <= q
            assert r * s <= width
    left, right = factors(4, 10, 512)
    r, s, _ = FactorSketch(1024, seed=0)(left, right, True)
    assert r is left
    assert s.shape == (4, 96)
    short = right[:, :50]
    same = FactorSketch(1024, seed=0)(left, short, True)
    assert same[0] is left
    assert same[1] is short
    assert same[2]


def test_a_count_sketch_gives_each_number_one_sum_and_lets_two_meet_rarely():
    width, size, meetings = 8, 20, torch.zeros(20, 20)
    for seed in range(400):
        matrix = of_units(size, CountSketch(width, seed=seed))
        assert torch.equal(matrix.abs().sum(1), torch.ones(size))
        meetings += (matrix.abs() @ matrix.abs().T) / 400
    meetings.fill_diagonal_(0)
    assert meetings.max() < 1 / width + 4 * (1 / width / 400) ** 0.5


@pytest.mark.parametrize("missing", [0, 3])
def test_a_count_sketch_is_the_same_by_operations_that_run_on_devices(missing):
    rows = torch.randn(9, 29, generator=torch.Generator().manual_seed(0))
    sketch = CountSketch(8, seed=5)
    sketch([torch.cat([rows, rows.new_ones(9, missing)], 1)])
    found = [torch.ones(9, 8) for _ in range(2)]
    for add, total in zip((count_sketch._add, count_sketch._add_elsewhere), found, strict=True):
        add(total, rows, *sketch._maps[0])
    torch.testing.assert_close(*found)


def test_inner_products_are_kept_on_average():
    left, right = factors(4, 40, 30)
    exact = written(left, right) @ written(left, right).T
    sketches = [written(*FactorSketch(64, seed=seed)(left, right)[:2]) for seed in range(1000)]
    mean = torch.stack([rows @ rows.T for rows in sketches]).mean(0)
    assert (mean - exact).abs().max() < 0.06 * exact.diagonal().mean()


def test_an_order_over_sketches_is_within_a_tenth_of_that_over_whole_gradients():
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor((x - x.mean(0)) / np.maximum(x.std(0), 1e-8)).float(), torch.tensor(y)
    torch.manual_seed(0)
    body, head = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()), torch.nn.Linear(64, 10)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], 0.1)
    for _ in range(3):
        for rows in torch.randperm(len(x)).split(16):
            optimizer.zero_grad()
            functional.cross_entropy(head(body(x[rows])), y[rows]).backward()
            optimizer.step()
    hidden = torch.cat([body(x), torch.ones(len(x), 1)], 1).detach()
    delta = (functional.softmax(head(body(x)), 1) - functional.one_hot(y, 10)).detach()
    whole = written(delta, hidden).numpy()
    sketch = written(*FactorSketch(256, seed=0)(delta, hidden)[:2]).numpy()
    starts = [np.random.default_rng(seed).permutation(len(x)) for seed in range(4)]
    l2 = {
        name: np.mean([herding.discrepancy(whole, herding.pair(rows, start=start)).l2 for start in starts])
        for name, rows in (("whole", whole), ("sketch", sketch))
    }
    random = np.mean([herding.discrepancy(whole, start).l2 for start in starts])
    assert l2["sketch"] < 1.1 * l2["whole"] < 0.6 * random


# Last layers


def features(outputs: int, scale: float = 1.0, reduction: str = "mean", **options):
    torch.manual_seed(0)
    layer, loss = torch.nn.Linear(64, outputs), torch.nn.CrossEntropyLoss(reduction=reduction)
    taken = LastLayer(layer, loss, **options)
    value = loss(layer(torch.randn(8, 64)), torch.arange(8))
    ((value.mean() if reduction == "none" else value) * scale).backward()
    return taken()


def test_wide_layers_are_sketched_by_themselves_and_narrow_ones_are_not():
    assert features(15).width == 15 * 65  # 975 numbers
    assert features(16).width == 1024 == 16 * 64
    assert features(300).width == 1024 == 32 * 32
    assert features(300, sketch=0).width == 300 * 65
    assert features(10, sketch=64).width <= 64


def test_a_sketch_is_of_each_examples_own_loss_whatever_multiplies_it():
    expected = features(300).written()
    for scale, reduction in ((1024.0, "mean"), (1.0, "sum"), (8.0, "none")):
        torch.testing.assert_close(features(300, scale, reduction).written(), expected, rtol=1e-4, atol=1e-4)
    exact = features(300, sketch=0).gram()
    close = (features(300, sketch=16_384).gram() - exact).abs().max() / exact.abs().max()
    assert close < 0.15


@pytest.mark.parametrize("bad", [-2, 2.5])
def test_widths_that_cannot_be_are_refused(bad):
    with pytest.raises(TrainerError, match=r"^LastLayer: sketch="):
        features(10, sketch=bad)


@pytest.mark.parametrize("halving", [False, True])
def test_one_narrow_piece_is_walked_as_pieces_are(halving):
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 512))).float()
    thresholds = [Halving(20, 3, (1, 2)) if halving else None for _ in range(2)]
    sums = [torch.zeros(512, dtype=torch.float64) for _ in range(2)]
    signs = walk_pairs(DenseVectors(rows), sums[0], thresholds[0])
    expected = pieces_pair_walk([rows.numpy()], sums[1].numpy(), thresholds[1])
    assert signs is not None
    assert expected is not None
    assert signs.tolist() == expected.tolist()
    assert torch.equal(*sums)
    rows[7, 3] = float("nan")
    assert walk_pairs(DenseVectors(rows), sums[0]) is None
    assert torch.equal(*sums)


def test_the_map_goes_where_the_model_goes():
    sketch, rows = CountSketch(7, seed=3), torch.randn(5, 23)
    before = sketch.of_rows(rows)
    assert sketch.of_rows(rows.to("meta")).device.type == "meta"
    assert torch.equal(sketch.of_rows(rows), before)
