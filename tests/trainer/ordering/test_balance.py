"""Order "balance": a drawn epoch, balanced over its sketches; and balancing of 8-bit rows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, read_sketches
from syllabus.selectors import SelectionError, herding
from syllabus.trainer import Curriculum, ManifestSampler, TrainerError

quick = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_small_manifest(
        tmp_path_factory.mktemp("drawn") / "m", n=2000, fractions=(0.3,), sketch_dim=16
    )


def visits(manifest: Manifest, order: str, epoch: int, schedule: str = "fresh", **options) -> np.ndarray:
    curriculum = Curriculum(manifest, 0.3, 12, schedule, seed=0)
    sampler = ManifestSampler(curriculum, order, **options)
    sampler.set_epoch(epoch)
    return np.array(list(sampler))


@given(n=st.integers(1, 60), d=st.integers(1, 40), seed=st.integers(0, 10**6))
@quick
def test_8_bit_rows_are_walked_as_the_floats_of_the_same_values(n, d, seed) -> None:
    steps = np.random.default_rng(seed).integers(-127, 128, (n, d)).astype(np.int8)
    start = np.random.default_rng(seed + 1).permutation(n)
    expected = herding.balance(steps.astype(np.float32), 3, start=start)
    assert herding.balance(steps, 3, start=start).tolist() == expected.tolist()


def test_rows_that_are_not_finite_are_named_though_only_their_sum_is_checked() -> None:
    rows = np.zeros((5, 3), np.float32)
    rows[3, 1], rows[4, 1] = np.inf, -np.inf
    with pytest.raises(SelectionError, match=r"^balance: row 3 contains NaN or infinity"):
        herding.balance(rows)
    with pytest.raises(SelectionError, match=r"^balance: .* dtype complex64; expected real numbers"):
        herding.balance(np.zeros((5, 3), np.complex64))


@pytest.mark.parametrize("schedule", ["fresh", "redraw", "milo"])
def test_a_drawn_epoch_is_the_balanced_shuffle(manifest, schedule) -> None:
    for epoch in (0, 7):
        shuffled = visits(manifest, "shuffle", epoch, schedule)
        balanced = visits(manifest, "balance", epoch, schedule)
        assert sorted(balanced) == sorted(shuffled)
        rows = read_sketches(manifest, shuffled).astype(np.float32)
        assert balanced.tolist() == shuffled[herding.balance(rows, passes=5)].tolist()
        sketches = read_sketches(manifest, balanced).astype(np.float32)
        own = herding.discrepancy(sketches, np.arange(len(sketches))).l2
        assert own < 0.3 * herding.discrepancy(rows, np.arange(len(rows))).l2


def test_the_same_set_is_ordered_anew_in_each_epoch(manifest) -> None:
    curriculum = Curriculum(manifest, 1.0, 3, seed=0)
    orders = set()
    for epoch in range(3):
        sampler = ManifestSampler(curriculum, "balance")
        sampler.set_epoch(epoch)
        orders.add(tuple(sampler))
    assert len(orders) == 3


def test_the_ranks_share_one_order(manifest) -> None:
    whole = visits(manifest, "balance", 4)
    ranks = [visits(manifest, "balance", 4, num_replicas=3, rank=rank) for rank in range(3)]
    assert np.stack(ranks, axis=1).ravel().tolist() == whole.tolist()


def test_without_sketches_the_error_names_the_option(tmp_path) -> None:
    bare = write_small_manifest(tmp_path / "m", fractions=(0.3,), sketch_dim=0)
    with pytest.raises(TrainerError, match=r"^order 'balance': .* has no sketches; .* sketch_dim=0$"):
        visits(bare, "balance", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        visits(bare, "shuffle", 0)
