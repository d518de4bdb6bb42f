"""GraB as a sampler's order: the walk by plain references, slices of a cycle, what goes wrong, resuming."""

from __future__ import annotations

import io
import itertools
import tempfile
import warnings
from functools import cache

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest
from torch.utils.data import DataLoader, Dataset

from syllabus.manifests import Manifest
from syllabus.selectors.blocks import Outer
from syllabus.trainer import Curriculum, GraB, ManifestSampler, TrainerError

ROOT = tempfile.TemporaryDirectory(prefix="syllabus-grab-")
BALANCES = ("pair", "mean", "kernel-halving")
relations = settings(deadline=None, max_examples=40, derandomize=True)


@cache
def manifest(n: int, gap: int = 7) -> Manifest:
    return write_small_manifest(tempfile.mkdtemp(dir=ROOT.name), n=n, fractions=(0.5,), gap=gap)


def make(n: int = 60, fraction: float = 1.0, epochs: int = 12, grab: GraB | None = None, **options):
    """A sampler and its GraB; indices without gaps, so that row = example."""
    grab = grab or GraB()
    schedule = options.pop("schedule", "fresh")
    ids = options.pop("ids", None)
    drawn = Curriculum(manifest(n, 0), fraction, epochs, schedule, seed=0, **options)
    return ManifestSampler(drawn, grab, ids=ids), grab


def features(n: int, d: int = 6, seed: int = 0) -> torch.Tensor:
    """Whole numbers: sums are exact, so plain references agree to the last bit."""
    return torch.from_numpy(np.random.default_rng(seed).integers(-3, 4, (n, d)).astype(np.float32))


def visit(sampler: ManifestSampler, grab: GraB, epoch: int, known: torch.Tensor, batch: int = 4) -> list[int]:
    sampler.set_epoch(epoch)
    seen = []
    for rows in DataLoader(range(len(known)), batch_size=batch, sampler=sampler):
        grab.step(known[rows])
        seen += rows.tolist()
    return seen


class Noisy(Dataset):
    """Rows of random pictures with random labels."""

    def __init__(self, n: int) -> None:
        self.x, self.y = (
            torch.from_numpy(np.random.default_rng(1).standard_normal((n, 5))).float(),
            features(n),
        )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int):
        return self.x[row], (self.y[row, 0] > 0).float(), row


class Run:
    """Logistic regression in which every example's gradient is known in closed form."""

    def __init__(self, n: int, fraction: float, balance: str, epochs: int = 12) -> None:
        self.data = Noisy(n)
        self.sampler, self.grab = make(n, fraction, epochs, GraB(balance))
        self.weight, self.losses, self.rows = torch.zeros(5), [], []

    def train(self, x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor) -> None:
        score = torch.sigmoid(x @ self.weight)
        gradients = (score - y)[:, None] * x
        self.losses.append(float(torch.nn.functional.binary_cross_entropy(score, y)))
        self.grab.step(gradients)
        self.weight = self.weight - 0.5 * gradients.mean(0)
        self.rows += rows.tolist()

    def epoch(self, epoch: int, batch: int, workers: int = 0) -> None:
        self.sampler.set_epoch(epoch)
        for x, y, rows in DataLoader(self.data, batch, sampler=self.sampler, num_workers=workers):
            self.train(x, y, rows)


# The walk


@relations
@given(n=st.integers(3, 40), batch=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_pairs_by_reference_whatever_the_batches_odd_n_included(n, batch, seed):
    sampler, grab = make(n, grab=GraB("pair"))
    known = features(n, seed=seed)
    first = visit(sampler, grab, 0, known, batch)
    for epoch in range(1, 5):
        rows = known.numpy()[first]
        expected = np.array(first)[oracles.pair_balance(rows, epoch)]
        assert visit(sampler, grab, epoch, known, batch) == expected.tolist()


@relations
@given(n=st.integers(3, 32), batch=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_means_by_reference(n, batch, seed):
    sampler, grab = make(n, grab=GraB("mean"))
    known = features(n, seed=seed) * n  # so that the mean is whole, too
    order = visit(sampler, grab, 0, known, batch)
    mean = np.zeros(known.shape[1])
    for epoch in range(1, 5):
        signs, _ = oracles.signed_walk(known.numpy(), order, mean)
        mean = known.double().mean(0).numpy()
        front = [row for row, sign in zip(order, signs, strict=True) if sign > 0]
        back = [row for row, sign in zip(order, signs, strict=True) if sign < 0]
        order = front + back[::-1]
        assert visit(sampler, grab, epoch, known, batch) == order


def test_the_first_epoch_is_that_of_shuffle_and_herding_starts_from_the_manifest():
    sampler, _ = make()
    shuffle = ManifestSampler(sampler.curriculum, "shuffle")
    assert list(sampler) == list(shuffle)
    herded, _ = make(grab=GraB(start="herding"))
    assert list(herded) == manifest(60, 0).order("balance").tolist()


@pytest.mark.parametrize("balance", BALANCES)
def test_the_order_of_fixed_features_becomes_far_better_than_random(balance):
    sampler, grab = make(200, grab=GraB(balance), epochs=40)
    known = torch.from_numpy(oracles.planted("normal", 200, 8, seed=0))
    norms = [oracles.prefix_norms(known.numpy(), visit(sampler, grab, e, known))[0].max() for e in range(12)]
    # The thresholds of kernel halving are random, and its orders between the others' and random ones.
    assert np.mean(norms[8:]) < (0.75 if balance == "kernel-halving" else 0.5) * norms[0]


def test_factors_and_written_features_give_the_same_order():
    left, right = features(60, 3, seed=1), features(60, 4, seed=2)
    written = torch.einsum("bp,bq->bpq", left, right).reshape(60, 12)
    (one, grab), (other, factored) = make(), make()
    for epoch in range(3):
        expected = visit(one, grab, epoch, written, 5)
        other.set_epoch(epoch)
        seen = []
        for rows in DataLoader(range(60), batch_size=5, sampler=other):
            factored.step(Outer(left[rows], right[rows]))
            seen += rows.tolist()
        assert seen == expected


# Cycles


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize(("slices", "batch"), [(2, 6), (3, 5), (4, 1)])
def test_slices_of_a_cycle_are_full_data_grab_bit_for_bit(balance, slices, batch):
    whole, cut = Run(60, 1.0, balance, 4), Run(60, 1 / slices, balance, 4 * slices)
    for epoch in range(4):
        whole.epoch(epoch, batch)
        for part in range(slices):
            cut.epoch(epoch * slices + part, batch)
    assert cut.rows == whole.rows
    assert cut.losses == whole.losses
    assert torch.equal(cut.weight, whole.weight)


def test_what_a_cycle_leaves_over_comes_in_the_next():
    sampler, grab = make(50, 0.3)  # three slices of 15, and 5 left over
    known = features(50)
    cycles = [
        np.concatenate([visit(sampler, grab, 3 * cycle + part, known) for part in range(3)]).tolist()
        for cycle in range(4)
    ]
    for before, after in itertools.pairwise(cycles):
        assert len(set(before)) == 45
        assert set(before) | set(after) == set(range(50))
        rest = [row for row in range(50) if row not in before]
        expected = np.array(before)[oracles.pair_balance(known.numpy()[before], 1)].tolist()
        # The walk's order with the rest in its middle, cut after 45.
        assert after[:22] == expected[:22]
        assert sorted(set(after) - set(expected)) == rest


def test_a_stored_subset_is_refined_while_it_stays_and_a_change_is_told_once():
    sampler, grab = make(40, 0.5, schedule="milo", easy_fraction=1.0, refresh_every=3)
    known = features(40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        epochs = [visit(sampler, grab, epoch, known) for epoch in range(9)]
    assert len(caught) == 1
    assert "epoch 3 has another set than the one before" in str(caught[0].message)
    for first in (0, 3, 6):
        assert sorted(epochs[first]) == sampler.curriculum.indices(first).tolist()
        rows = known.numpy()[epochs[first]]
        for more in (1, 2):
            expected = np.array(epochs[first])[oracles.pair_balance(rows, more)]
            assert epochs[first + more] == expected.tolist()


def test_units_are_ordered_as_one_and_a_short_one_stays_last():
    sampler, grab = make(22, grab=GraB(unit=4))
    rng = np.random.default_rng(0)
    groups = None
    for epoch in range(4):
        sampler.set_epoch(epoch)
        batches = []
        for rows in DataLoader(range(22), batch_size=4, sampler=sampler):
            grab.step(torch.from_numpy(rng.standard_normal(3)))
            batches.append(tuple(rows.tolist()))
        groups = groups or batches
        assert sorted(batches[:-1]) == sorted(groups[:-1])
        assert batches[-1] == groups[-1]
    assert batches != groups


# What happens in loops


@pytest.mark.parametrize("balance", BALANCES)
@relations
@given(n=st.integers(2, 30), data=st.data())
def test_whatever_is_stepped_the_next_epoch_is_a_permutation_and_the_rest_keeps_its_rank(balance, n, data):
    sampler, grab = make(n, grab=GraB(balance))
    known = features(n)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order, stepped = list(sampler), []
        for first in range(0, n, 4):
            rows = order[first : first + 4]
            kind = data.draw(st.sampled_from(["ledger", "named", "skip", "broken"]))
            if first == 0:
                kind = "named"
            if kind == "ledger" and grab._place == first:
                grab.step(known[rows])
            elif kind in ("ledger", "named"):
                grab.step(known[rows], rows)
            elif kind == "broken":
                grab.step(known[rows] * torch.nan, rows)
            stepped += rows if kind in ("ledger", "named") else []
        sampler.set_epoch(epoch + 1)
        after = list(sampler)
        assert sorted(after) == list(range(n))
        rest = [row for row in order if row not in stepped]
        assert [row for row in after if row in set(rest)] == rest
        grab.step(known[after[:1]])


def test_drop_last_and_an_early_break_leave_the_unseen_their_rank():
    sampler, grab = make(30)
    known = features(30)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = []
        for rows in DataLoader(range(30), batch_size=4, sampler=sampler, drop_last=True):
            grab.step(known[rows])
            order += rows.tolist()
            if epoch == 1 and len(order) == 12:
                break
    sampler.set_epoch(3)
    assert sorted(sampler) == list(range(30))


def test_prefetching_workers_change_nothing():
    plain, fetched = Run(48, 0.5, "pair"), Run(48, 0.5, "pair")
    for epoch in range(3):
        plain.epoch(epoch, 5)
        fetched.epoch(epoch, 5, workers=2)
    assert fetched.rows == plain.rows
    assert fetched.losses == plain.losses


def test_rows_of_a_data_set_that_was_shuffled():
    names = manifest(40, 0).table("examples", ["id"])["id"].to_pylist()
    moved = np.random.default_rng(0).permutation(40)
    (one, grab), (other, named) = make(40, 0.5), make(40, 0.5, ids=[names[row] for row in moved])
    known = features(40)
    for epoch in range(4):
        expected = visit(one, grab, epoch, known)
        other.set_epoch(epoch)
        seen = []
        for rows in DataLoader(range(40), batch_size=4, sampler=other):
            named.step(known[moved[rows]], rows.tolist())
            seen += moved[rows].tolist()
        assert seen == expected


def test_a_block_that_is_not_finite_is_passed_over():
    sampler, grab = make(20)
    known = features(20)
    sampler.set_epoch(0)
    order = list(sampler)
    for first in range(0, 20, 5):
        rows = order[first : first + 5]
        grab.step(known[rows] * (torch.inf if first == 5 else 1))
    sampler.set_epoch(1)
    rest = order[:5] + order[10:]
    expected = np.array(rest)[oracles.pair_balance(known.numpy()[rest], 1)].tolist()
    after = list(sampler)
    assert [row for row in after if row in rest] == expected
    assert [row for row in after if row not in rest] == order[5:10]


# Errors


def test_an_epoch_without_a_step_is_an_error_at_the_next():
    sampler, _ = make()
    sampler.set_epoch(0)
    list(sampler)
    sampler.set_epoch(0)
    with pytest.raises(TrainerError, match=r"epoch 0 got no gradients; call grab\.step"):
        sampler.set_epoch(1)


def test_gradients_that_do_not_match_are_errors():
    sampler, grab = make(20, 0.5)
    known = features(20)
    with pytest.raises(TrainerError, match="no epoch has begun"):
        grab.step(known[:4])
    iterator = iter(sampler)
    rows = [next(iterator) for _ in range(6)]
    grab.step(known[rows[:4]])
    with pytest.raises(TrainerError, match="3 gradients, but of the 6 examples given out in epoch 0 4 were"):
        grab.step(known[:3])
    with pytest.raises(TrainerError, match="gradients have width 2; before it was 6"):
        grab.step(known[:2, :2])
    with pytest.raises(TrainerError, match="2 gradients of units of 1, and int64 indices"):
        grab.step(known[:2], rows[:3])
    stranger = next(row for row in range(20) if row not in list(sampler))
    with pytest.raises(TrainerError, match=f"row {stranger} is not in epoch 0"):
        grab.step(known[:2], [rows[5], stranger])
    with pytest.raises(TrainerError, match="a row occurs more than once"):
        grab.step(known[:2], [rows[5], rows[5]])


def test_what_grab_cannot_do_is_refused():
    with pytest.raises(TrainerError, match="balance 'pairs' is unknown; known: kernel-halving, mean, pair"):
        GraB("pairs")
    with pytest.raises(TrainerError, match="start 'none' is unknown"):
        GraB(start="none")
    with pytest.raises(TrainerError, match="unit=0 is below 1"):
        GraB(unit=0)
    sampler, grab = make()
    with pytest.raises(TrainerError, match="already the order of another sampler"):
        ManifestSampler(sampler.curriculum, grab)
    with pytest.raises(TrainerError, match="num_replicas=2"):
        ManifestSampler(sampler.curriculum, GraB(), num_replicas=2, rank=0)
    with pytest.raises(TrainerError, match="budgets 'equal' cannot be kept"):
        make(fraction=0.5, budgets="equal")
    with pytest.raises(TrainerError, match="epochs of 30 examples are not whole units of 4"):
        make(fraction=0.5, grab=GraB(unit=4))
    with pytest.raises(TrainerError, match="unit=70 is above the 60"):
        make(grab=GraB(unit=70))
    with pytest.raises(TrainerError, match="not the order of a sampler yet"):
        GraB().state_dict()
    visit(sampler, grab, 2, features(60))
    sampler.set_epoch(1)
    with pytest.raises(TrainerError, match="epoch 1 comes after 2"):
        list(sampler)


# State


def stored(grab: GraB) -> dict:
    file = io.BytesIO()
    torch.save(grab.state_dict(), file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_resuming_after_every_batch_replays_orders_and_losses(balance, fraction):
    size, whole = 3, Run(23, fraction, balance)
    for epoch in range(7):
        whole.epoch(epoch, size)
    steps = -(-len(whole.sampler) // size)
    for epoch in (0, 1, 4):
        for step in range(steps):
            first, again = Run(23, fraction, balance), Run(23, fraction, balance)
            for before in range(epoch):
                first.epoch(before, size)
            first.sampler.set_epoch(epoch)
            loader = iter(DataLoader(first.data, size, sampler=first.sampler))
            for _ in range(step + 1):
                first.train(*next(loader))
            place = min((step + 1) * size, len(first.sampler))
            again.grab.load_state_dict(stored(first.grab))
            again.sampler.load_state_dict(first.sampler.state_dict(place))
            again.weight = first.weight
            for later in range(again.sampler.epoch, 7):
                again.epoch(later, size)
            assert first.losses + again.losses == whole.losses
            assert first.rows + again.rows == whole.rows


def test_a_state_of_something_else_is_refused():
    run, other, mean = Run(20, 0.5, "pair"), Run(20, 0.5, "pair"), Run(20, 0.5, "mean")
    run.epoch(0, 4)
    run.epoch(1, 4)
    run.sampler.set_epoch(2)
    loader = iter(DataLoader(run.data, 4, sampler=run.sampler))
    run.train(*next(loader))
    state = run.sampler.state_dict(4)
    assert all(isinstance(value, (str, int, bool)) for value in state.values())
    with pytest.raises(TrainerError, match="load GraB's own state first"):
        other.sampler.load_state_dict(state)
    with pytest.raises(TrainerError, match="name is 'grab-pair' in the state and 'grab-mean' here"):
        mean.grab.load_state_dict(run.grab.state_dict())
    with pytest.raises(TrainerError, match="order is 'grab-pair' in the state and 'grab-mean' here"):
        mean.sampler.load_state_dict(state)


@pytest.mark.parametrize(("balance", "vectors"), [("pair", 1.5), ("kernel-halving", 1.5), ("mean", 3)])
def test_memory_is_a_few_vectors_and_two_numbers_an_example(balance, vectors):
    width, n = 1000, 61
    sampler, grab = make(n, grab=GraB(balance))
    for epoch in range(2):
        visit(sampler, grab, epoch, features(n, width), 7)
    sampler.set_epoch(2)
    iterator = iter(sampler)
    grab.step(features(7, width), [next(iterator) for _ in range(7)])  # odd: one waits for its partner

    def size(value) -> int:
        if isinstance(value, dict):
            return sum(map(size, value.values()))
        if isinstance(value, (list, tuple)):
            return sum(map(size, value))
        return value.nbytes if isinstance(value, (torch.Tensor, np.ndarray)) else 0

    assert size(grab.state_dict()) <= 8 * width * vectors + 17 * n
    held = {**vars(grab), **vars(grab._balancer), **vars(grab._following)}
    held["_held"] = [block.state() for _, block in [held["_held"]]] if held.get("_held") else []
    assert size(held) <= 8 * width * vectors + 33 * n  # the rows of an epoch that was named, too
