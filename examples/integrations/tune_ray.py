"""A search by Ray Tune on one manifest: all configurations on short runs, the best in full.

    pip install 'ray[tune]'
    python examples/integrations/tune_ray.py

Traps: an ASHA that stops full runs early ranks by runs whose learning rate is not annealed yet, and a
curriculum that has shown its easy half. So a short run is a whole one here, with a schedule of its own on a
share of every epoch, and its rate is times share^-0.3 as short runs prefer larger rates. A worker opens the
manifest once; the tokenised texts lie in Ray's object store.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from material import DATA, Classifier, accuracy, columns, opened, prepared, tokenised
from torch.utils.data import DataLoader

from syllabus.trainer import Curriculum, ManifestSampler

EPOCHS, SHARE, FINALISTS, ALPHA, BATCH = 8, 1 / 10, 2, 0.3, 8


def train(config: dict[str, Any], data: dict[str, Any], share: float) -> dict[str, float]:
    """Train one configuration on a share of a full run and return its accuracy.

    On the texts themselves, as this toy has no others: give your own search held-out data.
    """
    torch.manual_seed(0)
    curriculum = Curriculum(opened(data["manifest"]), share, EPOCHS, "fresh", seed=0)
    sampler = ManifestSampler(curriculum, ids=data["ids"])
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"] * share**-ALPHA)
    annealed = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sampler.steps(BATCH))
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        for batch in DataLoader(data["texts"], batch_size=BATCH, sampler=sampler):
            model(**batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            annealed.step()
    return {"accuracy": accuracy(model, data["texts"]), "examples": sum(map(curriculum.count, range(EPOCHS)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--configurations", type=int, default=9)
    arguments = parser.parse_args()
    from ray import init, tune

    prepared()
    rows = tokenised()
    data = {"manifest": str(DATA / "manifest"), "texts": columns(rows), "ids": rows["id"][:]}
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": here}})

    def search(space: dict[str, Any], share: float, samples: int) -> Any:
        trainable = tune.with_parameters(train, data=data, share=share)
        options = tune.TuneConfig(metric="accuracy", mode="max", num_samples=samples)
        return tune.Tuner(trainable, param_space=space, tune_config=options).fit()

    short = search({"lr": tune.loguniform(1e-3, 1.0)}, SHARE, arguments.configurations)
    ranked = sorted(short, key=lambda result: -result.metrics["accuracy"])
    rates = [result.config["lr"] for result in ranked[:FINALISTS]]
    best = search({"lr": tune.grid_search(rates)}, 1.0, 1).get_best_result()
    cost = arguments.configurations * SHARE + FINALISTS
    print(
        f"lr {best.config['lr']:.3g}: accuracy {best.metrics['accuracy']:.1%},"
        f" for {cost:.1f} full runs instead of {arguments.configurations}"
    )


if __name__ == "__main__":
    main()
