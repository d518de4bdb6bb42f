"""accelerate with `use_stateful_dataloader`: it skips batches itself, so it is told the epoch only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from host_data import BATCH, EPOCHS, FRACTION, Probe, batches, changed, manifest_in, orders
from torch.utils.data import DataLoader

from syllabus.trainer import Curriculum, ManifestSampler, TrainerError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return manifest_in(tmp_path_factory.mktemp("manifest"))


@pytest.fixture(scope="module")
def dataset(manifest):
    return changed(manifest)


class Run:
    """A run whose checkpoints hold accelerate's state of the loader, and the epoch that it belongs to."""

    def __init__(self, manifest, dataset, workers: int) -> None:
        config = DataLoaderConfiguration(use_stateful_dataloader=True)
        self.accelerator = Accelerator(cpu=True, dataloader_config=config)
        curriculum = Curriculum(manifest, FRACTION, EPOCHS, seed=0)
        self.sampler = ManifestSampler(curriculum, ids=dataset["id"], num_replicas=1, rank=0)
        rows = dataset.select_columns(["tokens", "labels"]).with_format("torch")
        loader = DataLoader(rows, batch_size=BATCH, sampler=self.sampler, num_workers=workers)
        self.seen, self.epoch = Probe(), 0
        self.model, self.loader = self.accelerator.prepare(self.seen, loader)
        self.accelerator.register_for_checkpointing(self)

    def state_dict(self) -> dict[str, int]:
        # After an epoch's last batch accelerate's state says that nothing is left, and means the next epoch.
        return {"epoch": self.epoch + self.loader.end_of_dataloader}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch = state["epoch"]

    def train(self, keep: Path | None = None) -> list[list[int]]:
        """Go on to the end; with `keep`, save a state after each step."""
        for epoch in range(self.epoch, EPOCHS):
            self.epoch = epoch
            self.loader.set_epoch(epoch)
            for batch in self.loader:
                self.model(**batch)
                if keep:
                    self.accelerator.save_state(keep / str(len(self.seen.seen)))
        return self.seen.seen


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_after_every_step_where_the_epoch_is_named(manifest, dataset, workers, tmp_path):
    steps = [batch for order in orders(manifest) for batch in batches(order)]
    assert Run(manifest, dataset, workers).train(tmp_path) == steps
    for step in range(1, 8):  # the fifth is an epoch's last, a short one
        again = Run(manifest, dataset, workers)
        again.accelerator.load_state(tmp_path / str(step))
        assert again.train() == steps[step:]


def test_the_samplers_position_is_not_inside_and_beside_it_would_be_skipped_twice(
    manifest, dataset, tmp_path
):
    steps = [batch for order in orders(manifest) for batch in batches(order)]
    first = Run(manifest, dataset, 0)
    first.train(tmp_path)
    again = Run(manifest, dataset, 0)
    again.accelerator.load_state(tmp_path / "2")
    with pytest.raises(TrainerError, match="there is no state of a ManifestSampler inside"):
        again.sampler.load_state_dict(torch.load(tmp_path / "2" / "dl_state_dict.bin", weights_only=False))
    again.sampler.load_state_dict({**again.sampler.state_dict(), "global_examples": 2 * BATCH})
    assert again.train()[0] == steps[4]
