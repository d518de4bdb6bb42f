"""Updates that are cut short, forgotten or empty, and options out of bounds."""

from __future__ import annotations

import itertools

import pytest
import torch
from accumulated_training import Spy, criterion, network, points, relative, train
from torch.utils.data import DataLoader

from syllabus.trainer import TrainerError
from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, Constant


def test_a_step_in_the_middle_of_an_update_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    for x, y in itertools.islice(adaptive.microbatches(DataLoader(points(), 4)), 1):
        adaptive.backward(criterion(model(x), y))
        with pytest.raises(TrainerError, match="in the middle of an update: a host that steps by itself"):
            optimizer.step()
        with pytest.raises(TrainerError, match="the update is not complete"):
            adaptive.updated()
        with pytest.raises(TrainerError, match="4 examples of an update are accumulated"):
            adaptive.state_dict()
        with pytest.raises(TrainerError, match="call it once for each microbatch"):
            adaptive.backward(criterion(model(x), y))


def test_an_unfinished_update_is_dropped_with_a_warning():
    model = network()
    optimizer = Spy(model.parameters())
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    for x, y in itertools.islice(adaptive.microbatches(DataLoader(points(), 4)), 1):
        adaptive.backward(criterion(model(x), y))
    again = adaptive.microbatches(DataLoader(points(), 4))
    with pytest.warns(UserWarning, match="4 examples of an unfinished update are dropped"):
        batches = itertools.chain([next(again)], again)
    for x, y in batches:
        adaptive.backward(criterion(model(x), y))
        adaptive.step()
    assert relative(optimizer.seen[0], train(8, 4)[1].seen[0]) == 0


def test_a_state_loaded_in_the_middle_of_an_update_leaves_no_gradients_of_it():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    state = adaptive.state_dict()
    x, y = next(adaptive.microbatches(DataLoader(points(), 4)))
    adaptive.backward(criterion(model(x), y))
    with pytest.warns(
        UserWarning, match="4 examples of an unfinished update are dropped: a state was loaded"
    ):
        adaptive.load_state_dict(state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_microbatches_that_do_not_go_backward_are_left_out():
    model = network()
    optimizer = Spy(model.parameters())
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 12), grain=4)
    rows = torch.utils.data.Subset(points(), range(12))
    for place, (x, y) in enumerate(adaptive.microbatches(DataLoader(rows, 4))):
        if place:
            adaptive.backward(criterion(model(x), y))
        adaptive.step()
    expected = network()
    x, y = points()[4:12]
    criterion(expected(x), y).backward()
    assert relative(optimizer.seen[0], [p.grad for p in expected.parameters()]) < 1e-6


def test_an_update_whose_last_microbatch_did_not_go_backward_is_not_stepped():
    model = network()
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    batches = adaptive.microbatches(DataLoader(points(), 4))
    x, y = next(batches)
    adaptive.backward(criterion(model(x), y))
    adaptive.step()
    next(batches)
    with pytest.raises(TrainerError, match="last microbatch did not go backward"):
        adaptive.step()
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize(
    ("optimizer", "scheduler", "message"),
    [
        (lambda _: "SGD", None, "optimizer is a str; expected one of torch's"),
        (torch.optim.LBFGS, None, "LBFGS.step needs 'closure'"),
        (torch.optim.SGD, torch.optim.lr_scheduler.ReduceLROnPlateau, "step needs 'metrics'.* in your loop"),
    ],
)
def test_what_cannot_be_stepped_is_refused_at_once(optimizer, scheduler, message):
    model = network()
    made = optimizer(model.parameters())
    with pytest.raises(TrainerError, match=message):
        AdaptiveBatchSize(
            model,
            made,
            BatchSizeController(Constant(), 8),
            grain=4,
            scheduler=None if scheduler is None else scheduler(made),
        )


def test_a_controller_that_has_decided_in_another_run_is_refused():
    _, _, done = train(4, 4)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, done.controller, grain=4)
    with pytest.raises(TrainerError, match="has decided after 11 updates of another run"):
        next(adaptive.microbatches(DataLoader(points(), 4)))
    adaptive.load_state_dict(done.state_dict())
    next(adaptive.microbatches(DataLoader(points(), 4)))


def test_a_forgotten_step_is_an_error():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 4), grain=4)
    batches = adaptive.microbatches(DataLoader(points(), 4))
    x, y = next(batches)
    adaptive.backward(criterion(model(x), y))
    with pytest.raises(TrainerError, match="complete and was not stepped"):
        next(batches)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grain": 0}, "grain=0 is below 1"),
        ({"microbatch": 0}, "microbatch=0 is below 1"),
        ({"rule": "probe"}, "AdaDamp measures probe_loss; give probe=Probe"),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(options, message):
    from syllabus.trainer.batch_size import AdaDamp

    rule = AdaDamp() if options.pop("rule", None) else Constant()
    with pytest.raises(TrainerError, match=message):
        train(8, rule=rule, **{"grain": 4, **options})


def test_what_is_refused_leaves_the_optimizer_as_it_was():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TrainerError, match="maximum=5 is below 6, what sizes are multiples of"):
        AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 4, maximum=5), grain=6)
    AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 4), grain=4)


def test_a_loss_of_one_an_example_is_refused():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    for x, y in itertools.islice(adaptive.microbatches(DataLoader(points(), 4)), 1):
        with pytest.raises(TrainerError, match=r"the loss has shape \(4,\); expected a mean"):
            adaptive.backward(criterion(model(x), y, reduction="none"))


def test_ranks_without_averaging_are_refused(monkeypatch):
    monkeypatch.setattr("syllabus.trainer.batch_size.accumulation.world_size", lambda: 2)
    with pytest.raises(TrainerError, match="2 ranks and the model is a Sequential; wrap it in Distributed"):
        train(8, 4)


def test_an_update_of_which_nothing_counts_is_an_error():
    for size in (4, 8):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        adaptive = AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), size), grain=4)
        batches = adaptive.microbatches(DataLoader(points(), 4))
        for _ in range(size // 4 - 1):
            x, y = next(batches)
            adaptive.backward(criterion(model(x), y), count=0)
        x, y = next(batches)
        with pytest.raises(TrainerError, match="nothing in an update counts"):
            adaptive.backward(criterion(model(x), y), count=0)
