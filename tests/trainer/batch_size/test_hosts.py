"""The hosts' examples train as one's own loop does; a host that steps by itself is refused."""

from __future__ import annotations

import copy

import host_data  # noqa: F401 - puts the examples on the path
import pytest
import torch
from host_data import changed, manifest_in
from torch.utils.data import DataLoader

from syllabus.trainer import Curriculum, ManifestSampler, TrainerError
from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController, Constant, GeoDamp

EPOCHS = 3


class Scores(torch.nn.Module):
    """A linear classifier of the tokens, in float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = torch.nn.Linear(5, 2, dtype=torch.float64)

    def forward(self, tokens, labels):
        scores = self.head(tokens.double() / 100)
        return {"loss": torch.nn.functional.cross_entropy(scores, labels), "logits": scores}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    manifest = manifest_in(tmp_path_factory.mktemp("m"))
    dataset = changed(manifest)
    assert len(dataset[0]["tokens"]) == 5
    return manifest, dataset


def own_loop(manifest, dataset, model, controller):
    curriculum = Curriculum(manifest, 0.2, EPOCHS, seed=0)
    sampler = ManifestSampler(curriculum, ids=dataset["id"])
    rows = dataset.select_columns(["tokens", "labels"]).with_format("torch")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    adaptive = AdaptiveBatchSize(model, optimizer, controller, grain=4)
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for batch in adaptive.microbatches(DataLoader(rows, batch_size=4, sampler=sampler)):
            adaptive.backward(model(**batch)["loss"])
            adaptive.step()
    return adaptive


@pytest.mark.parametrize("host", ["adaptive_accelerate", "adaptive_lightning"])
@pytest.mark.filterwarnings("ignore")
def test_a_host_trains_as_ones_own_loop(material, host):
    module = pytest.importorskip(host)
    expected, found = Scores(), Scores()
    own = own_loop(*material, expected, BatchSizeController(GeoDamp(epochs=1), 8))
    host = module.train(*material, found, BatchSizeController(GeoDamp(epochs=1), 8), EPOCHS)
    assert own.updates == host.updates == 5 + 3 + 2  # 38 examples an epoch by 8, 16, 32
    assert (host.examples, host.epoch) == (3 * 38, 3)
    assert [r.batch_size for r in host.records] == [8, 16, 32, 64]
    assert found.head.weight.allclose(expected.head.weight, rtol=1e-10)


@pytest.mark.filterwarnings("ignore")
def test_hugging_faces_trainer_is_refused_in_one_line(material, tmp_path):
    from with_trainer import ManifestTrainer, TrainingArguments

    manifest, dataset = material
    model = Scores()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    AdaptiveBatchSize(model, optimizer, BatchSizeController(Constant(), 8), grain=4)
    sampler = ManifestSampler(
        Curriculum(manifest, 0.2, EPOCHS, seed=0), ids=dataset["id"], num_replicas=1, rank=0
    )
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no"
    )
    trainer = ManifestTrainer(
        model, arguments, train_dataset=dataset, sampler=sampler, optimizers=(optimizer, None)
    )
    with pytest.raises(TrainerError, match="such as Hugging Face's Trainer, cannot change its batch size"):
        trainer.train()
    assert torch.equal(model.head.weight, before["head.weight"])
