"""The flat loop with a controller: as without one where nothing changes, and resumed at every step."""

from __future__ import annotations

import pytest
import torch
from small_manifest import write_small_manifest

from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler, TrainerError, fit
from syllabus.trainer.batch_size import AdaDamp, AdaptiveBatchSize, BatchSizeController, Constant, GeoDamp

EPOCHS, BATCH = 3, 5


class Stop(Exception):
    """An interruption."""


class Points(torch.utils.data.Dataset):
    def __init__(self):
        self.x = torch.randn(62, 4, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return 62

    def __getitem__(self, row):
        return self.x[row], int(self.x[row, 0] > 0)


@pytest.fixture(scope="module")
def curriculum(tmp_path_factory):
    return Curriculum(write_small_manifest(tmp_path_factory.mktemp("m"), n=60), 0.4, EPOCHS, "fresh", seed=0)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 2)
    )


def run(curriculum, rule=None, stop=None, order="shuffle", features=False, **options):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    losses = 0
    criterion = torch.nn.CrossEntropyLoss()

    def loss(outputs, targets):
        nonlocal losses
        if model.training:
            if losses == stop:
                raise Stop
            losses += 1
        return criterion(outputs, targets)

    if rule is not None:
        options["controller"] = BatchSizeController(rule, BATCH, every=options.pop("every", None))
    records = fit(
        model,
        Points(),
        ManifestSampler(curriculum, order),
        loss=loss,
        optimizer=optimizer,
        scheduler=scheduler,
        batch_size=BATCH,
        features=LastLayer(model[3], criterion) if features else None,
        progress=options.pop("progress", False),
        **options,
    )
    return [(r.epoch, r.loss, r.examples) for r in records], model, losses


def equal(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_a_constant_controller_trains_as_none_bit_for_bit(curriculum):
    plain, model, _ = run(curriculum)
    found, same, _ = run(curriculum, Constant())
    assert found == plain
    assert equal(model, same)


@pytest.mark.parametrize("rule", [GeoDamp(epochs=1), AdaDamp()])
def test_stopped_anywhere_it_goes_on_bit_for_bit(curriculum, rule, tmp_path):
    given = {"every": 10, "probe": 20, "checkpoint_every": 1}
    decisions = []
    expected, model, forwards = run(curriculum, rule, on_decision=decisions.append, **given)
    assert max(decision.batch_size for decision in decisions) > BATCH
    assert decisions[0].updates == 0
    for stop in range(forwards):
        path = tmp_path / f"run-{stop}"
        with pytest.raises(Stop):
            run(curriculum, rule, stop, checkpoint=path, **given)
        found, again, _ = run(curriculum, rule, checkpoint=path, **given)
        assert found == expected, stop
        assert equal(model, again), stop


def test_grab_sees_the_same_examples_at_any_size(curriculum):
    _, _, forwards = run(curriculum, GeoDamp(epochs=1), order=GraB("pair"), features=True)
    assert forwards == 15  # batches of 5 through the model, whatever the size of the updates
    with pytest.raises(TrainerError, match="microbatch=10: with GraB it is batch_size=5"):
        run(curriculum, GeoDamp(epochs=1), order=GraB("pair"), features=True, microbatch=10)


def test_microbatches_may_be_larger_than_the_loaders_batches(curriculum):
    _, _, forwards = run(curriculum, GeoDamp(epochs=1), microbatch=100)
    assert forwards == 5 + 3 + 2  # one pass an update: 24 examples by 5, 10, 20


def test_progress_counts_the_loaders_batches(curriculum, capsys):
    run(curriculum, GeoDamp(epochs=1), microbatch=100, progress=True, title="demo")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("demo 100%: step 15 of 15, ")


def test_a_checkpoint_with_a_controller_goes_on_with_one_only(curriculum, tmp_path, monkeypatch):
    run(curriculum, Constant(), epochs=1, checkpoint=tmp_path / "with")
    run(curriculum, epochs=1, checkpoint=tmp_path / "without")
    left = []
    monkeypatch.setattr(AdaptiveBatchSize, "close", lambda adaptive: left.append(adaptive))
    for rule, name in ((None, "with"), (Constant(), "without")):
        with pytest.raises(TrainerError, match="one of the two runs has a controller, the other none"):
            run(curriculum, rule, checkpoint=tmp_path / name)
    assert len(left) == 1  # the optimizer can be used again
    with pytest.raises(TrainerError, match="go with a controller, which is missing"):
        run(curriculum, microbatch=10)
