"""The time of a training step with GraB beside a plain one, by the width of the last layer and the batch.

    python benchmarks/grab_step.py            # minutes on one thread
    python benchmarks/grab_step.py --sketch 0 # the factors of the last layer as they are, as before sketches

Steps of each kind are taken in turn. Times are those of the fastest tenth of each kind: what disturbs a step
only adds to it.
"""

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # read by BLAS when numpy is imported

import numpy as np
import torch
from label_noise import manifest_of

from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler

N = 2048
CASES = (  # inputs and hidden layers, outputs, rounds
    ((784, 1024, 1024), 10, 40),
    ((64, 512), 10, 100),
    ((784, 1024, 1024), 1000, 20),
    ((64, 256), 1000, 60),
    ((64, 256), 50_000, 6),
)


def steps(
    manifest: Manifest, widths: tuple[int, ...], outputs: int, batch: int, kind: str, sketch: int | None
) -> Iterator[None]:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], outputs))
    x, y = torch.randn(N, widths[0]), torch.randint(0, outputs, (N,))
    criterion, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.01)
    grab = None if kind == "plain" else GraB(kind)
    sampler = ManifestSampler(Curriculum(manifest, 1.0, 1000, "fresh", seed=0), grab or "shuffle")
    features = LastLayer(model[-1], criterion, sketch=sketch) if grab is not None else None
    for epoch in range(1000):
        sampler.set_epoch(epoch)
        for rows in torch.tensor(list(sampler)).split(batch):
            criterion(model(x[rows]), y[rows]).backward()
            if grab is not None and features is not None:
                grab.step(features())
            optimizer.step()
            optimizer.zero_grad()
            yield


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sketch", type=int, help="numbers of a sketch, 0 for none; by default by width")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--outputs", type=int, nargs="+", default=[10, 1000, 50_000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = ("plain", "pair", "mean")
    print(f"{'MLP':24}{'batch':>6}{'plain, ms':>12}{'pairs':>8}{'means':>8}")
    with tempfile.TemporaryDirectory(prefix="syllabus-step-") as folder:
        vectors = np.random.default_rng(0).standard_normal((N, 8)).astype(np.float32)
        manifest = manifest_of(Path(folder), vectors, np.zeros(N, int))
        for widths, outputs, rounds in CASES:
            for batch in options.batches if outputs in options.outputs else ():
                runs = [steps(manifest, widths, outputs, batch, kind, options.sketch) for kind in kinds]
                times = np.empty((rounds + 1, len(runs)))
                for row in times:
                    for place, run in enumerate(runs):
                        begun = time.process_time()
                        next(run)
                        row[place] = time.process_time() - begun
                plain, pair, mean = 1000 * np.percentile(times[1:], 10, axis=0)
                name = "-".join(map(str, (*widths, outputs)))
                print(f"{name:24}{batch:6}{plain:12.2f}{pair / plain:8.3f}{mean / plain:8.3f}", flush=True)


if __name__ == "__main__":
    main()
