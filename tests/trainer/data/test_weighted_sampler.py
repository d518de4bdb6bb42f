"""Samplers, streams, orders and the loop where epochs differ in their number of examples."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from samplers import dealt, rows
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader
from weighted import quiet, weighted

from syllabus.trainer import Curriculum, GraB, ManifestSampler, ManifestStream, TrainerError, fit

EPOCHS = 5
ROWS = 103  # of the source: two are rejected


def curriculum(schedule: str = "redraw", fraction: float = 0.25, **options) -> Curriculum:
    # Of this seed's epochs some are longer than the first and some shorter.
    return quiet(weighted(), fraction, EPOCHS, schedule, **{"seed": 1, **options})


def team(world: int, drop_last: bool = False, **options) -> list[ManifestSampler]:
    drawn = curriculum(**options)
    return [ManifestSampler(drawn, num_replicas=world, rank=r, drop_last=drop_last) for r in range(world)]


def test_lengths_are_those_of_the_epoch_that_is_set():
    for drop_last in (False, True):
        one = team(4, drop_last)[1]
        lengths = []
        for epoch in (0, 3, 1, 4, 2):
            one.set_epoch(epoch)
            k = one.curriculum.count(epoch)
            assert len(one) == one.num_samples == (k // 4 if drop_last else -(-k // 4)) == len(list(one))
            assert one.total_size == 4 * len(one)
            assert (one.padding, one.dropped) == (max(one.total_size - k, 0), max(k - one.total_size, 0))
            lengths.append(len(one))
        assert len(set(lengths)) > 1
        # A run that has ended may still be asked.
        one.load_state_dict({**one.state_dict(0), "epoch": EPOCHS})
        assert len(one) == lengths[3]


def test_steps_are_those_of_all_epochs():
    one = team(2)[0]
    steps = 0
    for epoch in range(EPOCHS):
        one.set_epoch(epoch)
        steps += len(list(DataLoader(range(ROWS), batch_size=3, sampler=one)))
    assert one.steps(3) == steps
    assert one.steps(1, 1) == -(-one.curriculum.count(0) // 2)


def test_a_loader_follows_the_epochs():
    one = team(1)[0]
    loader = DataLoader(range(ROWS), batch_size=4, sampler=one, num_workers=1, persistent_workers=True)
    lengths = set()
    for epoch in range(EPOCHS):
        one.set_epoch(epoch)
        batches = [batch.tolist() for batch in loader]
        assert len(batches) == len(loader)
        lengths.add(len(loader))
        assert sorted(itertools.chain(*batches)) == one.curriculum.indices(epoch).tolist()
    assert len(lengths) > 1


@pytest.mark.parametrize("schedule", ["redraw", "milo"])
@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.parametrize("drop_last", [False, True])
def test_resuming_at_every_position_goes_on_to_the_next_epochs_length(schedule, before, after, drop_last):
    options = {"schedule": schedule, "easy_fraction": 0.6}
    old, new, alone = (
        team(before, drop_last, **options),
        team(after, drop_last, **options),
        team(1, **options),
    )
    wholes = [rows(alone, epoch)[0] for epoch in range(EPOCHS)]
    assert len({len(whole) for whole in wholes}) > 1
    for epoch in (0, 2, EPOCHS - 1):
        whole = wholes[epoch]
        for one in old:
            one.set_epoch(epoch)
        for given_out in range(len(old[0]) + 1):
            iterators = [iter(one) for one in old]
            head = [
                row
                for step in zip(*(itertools.islice(i, given_out) for i in iterators), strict=True)
                for row in step
            ]
            states = [iterator.state_dict() for iterator in iterators]
            assert all(state == states[0] for state in states)
            for one in new:
                one.load_state_dict(states[0])
            left = len(whole) - given_out * before
            if left <= 0 or (drop_last and left < before):
                assert (states[0]["epoch"], states[0]["global_examples"]) == (epoch + 1, 0)
            elif drop_last and left < after:
                continue  # nothing that the new ranks could share
            else:
                assert (states[0]["epoch"], states[0]["global_examples"]) == (epoch, len(head))
                tail = dealt([list(one) for one in new])
                kept = min(left, len(tail))
                assert tail[:kept] == whole[len(head) : len(head) + kept]
                assert len(tail) == (left // after if drop_last else -(-left // after)) * after
                assert new[0].state_dict()["epoch"] == epoch + 1
            if epoch + 1 < EPOCHS:
                for one in new:
                    one.set_epoch(epoch + 1)
                following = dealt([list(one) for one in new])
                size = len(wholes[epoch + 1])
                assert following[:size] == wholes[epoch + 1][: len(following)]
                assert len(following) == (size // after if drop_last else -(-size // after)) * after


def test_positions_are_bounded_by_their_own_epoch():
    counts = [curriculum().count(epoch) for epoch in range(EPOCHS)]
    shortest, longest = int(np.argmin(counts)), int(np.argmax(counts))
    one = team(1)[0]
    state = {**one.state_dict(), "epoch": longest, "global_examples": counts[longest] - 1}
    one.load_state_dict(state)
    assert len(list(one)) == 1
    with pytest.raises(
        TrainerError, match=rf"global_examples={counts[longest] - 1} is outside \[0, {counts[shortest]}\)"
    ):
        one.load_state_dict({**state, "epoch": shortest})
    with pytest.raises(TrainerError, match="total is 5 in the state"):
        one.load_state_dict({**state, "total": 5})


def test_ranks_that_would_get_nothing_are_told_of_their_epoch():
    with pytest.raises(TrainerError, match=r"drop_last leaves nothing of \d+ examples for 64 ranks"):
        len(ManifestSampler(curriculum(), num_replicas=64, rank=0, drop_last=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_loader_goes_on_at_every_batch_over_an_epochs_end(workers):
    def loader(one):
        return StatefulDataLoader(range(ROWS), 9, sampler=one, num_workers=workers)

    whole = team(1)[0]
    expected = []
    for epoch in range(2):
        whole.set_epoch(epoch)
        expected.append([batch.tolist() for batch in loader(whole)])
    assert len(expected[0]) != len(expected[1]) or len(expected[0][-1]) != len(expected[1][-1])
    for stop in range(1, len(expected[0]) + 1):
        first = loader(team(1)[0])
        for _, _batch in zip(range(stop), first, strict=False):
            pass
        state = first.state_dict()
        one = team(1)[0]
        again = loader(one)
        one.load_state_dict(state)
        again.load_state_dict(state)
        assert one.epoch == (stop == len(expected[0]))
        for epoch in range(one.epoch, 2):
            one.set_epoch(epoch)
            assert [batch.tolist() for batch in again] == expected[epoch][0 if epoch else stop :]


# The stream


@pytest.fixture
def source(tmp_path):
    table = pa.table({"row": np.arange(ROWS)})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=9)
    return str(tmp_path)


def test_the_stream_gives_each_epochs_rows_and_goes_on_anywhere(source):
    def streams(world, drop_last=False):
        return [
            ManifestStream(curriculum(), source, num_replicas=world, rank=r, drop_last=drop_last, window=2)
            for r in range(world)
        ]

    for epoch in range(EPOCHS):
        parts = streams(3, drop_last=True)
        for one in parts:
            one.set_epoch(epoch)
        given = [[row["row"] for row in one] for one in parts]
        k = curriculum().count(epoch)
        assert {len(part) for part in given} == {k // 3}
        assert parts[0].dropped == k % 3
        for stop in range(k // 2):
            old, new = streams(2), streams(3)
            head = []
            for one in old:
                one.set_epoch(epoch)
                head += [row["row"] for row in itertools.islice(one, stop)]
            state = old[0].state_dict()
            tail = []
            for one in new:
                one.load_state_dict(state)
                tail += [row["row"] for row in one]
            assert sorted({*head, *tail}) == curriculum().indices(epoch).tolist()
            assert len(head + tail) - k == -(k - len(head)) % 3
    ended = streams(1)[0]
    ended.set_epoch(EPOCHS - 1)
    list(ended)
    after = streams(1)[0]
    after.load_state_dict(ended.state_dict())
    assert after.epoch == EPOCHS


# GraB


def test_grab_refines_all_examples_and_sets_that_come_again():
    known = torch.from_numpy(np.random.default_rng(0).integers(-3, 4, (ROWS, 4)).astype(np.float32))

    def visited(drawn, order, epochs):
        one = ManifestSampler(drawn, order)
        orders = []
        for epoch in range(epochs):
            one.set_epoch(epoch)
            order_of = []
            for batch in DataLoader(range(ROWS), batch_size=7, sampler=one):
                order.step(known[batch])
                order_of += batch.tolist()
            orders.append(order_of)
            assert sorted(order_of) == drawn.indices(epoch).tolist()
        return orders

    full = visited(curriculum("fresh", 1.0), GraB(), 3)
    assert full[0] != full[1]
    kept = curriculum("redraw", 0.25, refresh_every=2, seed=4)
    assert kept.count(2) > kept.count(0)
    with pytest.warns(UserWarning, match="another set"):
        first, second, third, _ = visited(kept, GraB(), 4)
    assert sorted(first) == sorted(second) != sorted(third)
    assert first != second


def test_slices_of_fresh_are_refused():
    with pytest.raises(
        TrainerError, match=r"GraB: slices of its order .* 'tokens', as 'fresh' does; give fraction=1"
    ):
        ManifestSampler(curriculum("fresh"), GraB())


# The loop


class Points(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([row / ROWS, 1.0]), torch.tensor(row % 2)


def train(checkpoint=None, stop_after=None, every=None):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    one = team(1)[0]
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, one.steps(6))
    steps = 0

    def loss(outputs, targets):
        nonlocal steps
        if steps == stop_after:
            raise KeyboardInterrupt
        steps += 1
        return torch.nn.functional.cross_entropy(outputs, targets)

    records = fit(
        model, Points(), one, loss=loss, optimizer=optimizer, batch_size=6, scheduler=scheduler,
        checkpoint=checkpoint, checkpoint_every=every,
    )  # fmt: skip
    return records, model.weight.detach().clone(), scheduler, steps


def test_the_loop_counts_each_epochs_steps(capsys):
    records, _, scheduler, steps = train()
    assert [record.examples for record in records] == [curriculum().count(epoch) for epoch in range(EPOCHS)]
    assert steps == team(1)[0].steps(6)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.0, abs=1e-12)
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.search(rf"100%: step {steps} of {steps},", last)


def test_the_loop_continues_at_every_step(tmp_path):
    whole, weight, _, steps = train()
    for stop, every in itertools.product(range(1, steps, 4), (1, None)):
        file = tmp_path / f"{stop}-{every}.pt"
        with pytest.raises(KeyboardInterrupt):
            train(file, stop, every)
        records, again, _, _ = train(file, None, every)
        assert torch.equal(again, weight)
        assert [(r.loss, r.examples) for r in records] == [(r.loss, r.examples) for r in whole]
