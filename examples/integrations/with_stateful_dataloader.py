"""torchdata's StatefulDataLoader: a run that is stopped in mid-epoch and goes on exactly there.

    python examples/integrations/with_stateful_dataloader.py

Traps: workers fetch ahead, so a sampler alone does not know what was used; the loader does, and its state
holds the sampler's of that moment. After an epoch's last batch that is the beginning of the next: ask the
sampler at which epoch to go on. The loader refuses another number of workers; the sampler takes its part
all the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import datasets
import torch
from material import DATA, Classifier, accuracy, columns, prepared, tokenised
from torchdata.stateful_dataloader import StatefulDataLoader

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler


def train(
    manifest: Manifest,
    dataset: datasets.Dataset,
    model: torch.nn.Module,
    checkpoint: Path,
    epochs: int = 10,
    workers: int = 2,
    stop_after: int | None = None,
) -> None:
    """Train from where `checkpoint` stands, if it is there; `stop_after` so many steps, as a crash would."""
    sampler = ManifestSampler(Curriculum(manifest, fraction=0.2, epochs=epochs, seed=0), ids=dataset["id"])
    loader = StatefulDataLoader(columns(dataset), batch_size=8, sampler=sampler, num_workers=workers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        sampler.load_state_dict(saved["loader"])  # says at which epoch to go on
        if saved["workers"] == workers:
            loader.load_state_dict(saved["loader"])  # and the data set's own state, where it has one
    steps = 0
    for epoch in range(sampler.epoch, epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            model(**batch)["loss"].backward()
            optimizer.step()
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**states, "loader": loader.state_dict(), "workers": workers}, checkpoint)
            steps += 1
            if steps == stop_after:
                return


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    manifest, dataset, checkpoint = prepared(), tokenised(), DATA / "checkpoint.pt"
    accuracies = []
    for stops in ([None], [30, 41, None]):
        checkpoint.unlink(missing_ok=True)
        for stop in stops:
            torch.manual_seed(0)
            model = Classifier()
            train(manifest, dataset, model, checkpoint, stop_after=stop)
        accuracies.append(accuracy(model, dataset))
    print(f"accuracy of a run in one go: {accuracies[0]:.4%}; of one stopped twice: {accuracies[1]:.4%}")


if __name__ == "__main__":
    main()
