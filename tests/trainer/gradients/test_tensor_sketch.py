"""Tensor sketches by a plain reference, how good orders over them are, and when last layers use them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from syllabus.selectors import herding
from syllabus.selectors.balancing import Halving
from syllabus.selectors.balancing.pieces import pieces_pair_walk
from syllabus.selectors.balancing.vectors import DenseVectors, OuterProducts, walk_pairs
from syllabus.trainer import LastLayer, TensorSketch, TrainerError


def factors(rows: int, p: int, q: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, p, generator=generator), torch.randn(rows, q, generator=generator)


def written(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bp,bq->bpq", left, right).flatten(1)


@pytest.mark.parametrize("bias", [False, True])
def test_it_is_the_count_sketch_of_the_outer_product_that_is_never_made(bias):
    left, right = factors(3, 70, 9)
    sketch = TensorSketch(16, seed=3)
    found = sketch(left, right, bias).rows
    right = torch.cat([right, torch.ones(3, 1)], 1) if bias else right
    # The sketch of a unit vector shows bucket and sign; a bias is the last number of the right factor.
    hashes = []
    for half, pieces in ((sketch._left, [torch.eye(70)]), (sketch._right, None)):
        if pieces is None:
            pieces = [torch.eye(10)[:, :9], torch.eye(10)[:, 9:]] if bias else [torch.eye(9)]
        hashes.append(half(pieces).rows)
    sums = torch.zeros(3, 16)
    for k, l_row in enumerate(hashes[0]):
        for j, r_row in enumerate(hashes[1]):
            bucket = (int(l_row.abs().argmax()) + int(r_row.abs().argmax())) % 16
            sums[:, bucket] += float(l_row.sum() * r_row.sum()) * left[:, k] * right[:, j]
    expected = torch.view_as_real(torch.fft.rfft(sums)[:, 1:]).flatten(1) * (2 / 16) ** 0.5
    assert found.shape == (3, 16)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_inner_products_are_kept_on_average():
    left, right = factors(4, 40, 30)
    exact = written(left, right) @ written(left, right).T
    sketches = [TensorSketch(64, seed=seed)(left, right).rows for seed in range(300)]
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
    whole, sketch = written(delta, hidden).numpy(), TensorSketch(512, seed=0)(delta, hidden).rows.numpy()
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
    assert isinstance(features(252), OuterProducts)  # 16,380 numbers
    wide = features(253)
    assert isinstance(wide, DenseVectors)
    assert wide.width == 512
    assert isinstance(features(253, sketch=0), OuterProducts)
    assert features(10, sketch=64).width == 64


def test_a_sketch_is_of_each_examples_own_loss_whatever_multiplies_it():
    expected = features(300).rows
    for scale, reduction in ((1024.0, "mean"), (1.0, "sum"), (8.0, "none")):
        torch.testing.assert_close(features(300, scale, reduction).rows, expected, rtol=1e-4, atol=1e-4)
    exact = features(300, sketch=0)
    gram = features(300, sketch=4096).rows.double()
    close = (gram @ gram.T - exact.gram()).abs().max() / exact.gram().abs().max()
    assert close < 0.15


@pytest.mark.parametrize("bad", [3, -2, 2.5])
def test_widths_that_cannot_be_are_refused(bad):
    with pytest.raises(TrainerError, match=r"^(LastLayer|TensorSketch): (sketch|width)="):
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
