"""What sketches of a last layer's gradients lose: discrepancy of pair balance over them, in the whole space.

    python benchmarks/grab_sketch.py            # four minutes on one thread, 5 GB of memory
    python benchmarks/grab_sketch.py --quick    # without the thousand classes: half a minute

Mean of two starts and three seeds of the sketch, after five passes.
"""

import argparse
import os
from collections.abc import Iterator

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # read by BLAS when numpy is imported

import numpy as np
import torch
from sklearn.datasets import load_digits

from syllabus.selectors import herding
from syllabus.trainer.gradients import FactorSketch

WIDTHS = (256, 512, 1024, 2048, 4096)
Factors = tuple[torch.Tensor, torch.Tensor]


def tasks(quick: bool) -> Iterator[tuple[str, Factors]]:
    """Yield names and the (n, p) and (n, q) factors of the last layer's gradients."""
    rng = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    wrong = rng.random(len(y)) < 0.2
    noisy = np.where(wrong, rng.integers(0, 10, len(y)), y)
    yield "digits, MLP 64-64-10", factors(x / 16, y, 64, epochs=3)
    yield "a fifth of the labels random, MLP 64-512-10", factors(x / 16, noisy, 512, epochs=10)
    if not quick:
        classes = np.arange(4000) % 1000
        rows = rng.standard_normal((1000, 64))[classes] + 0.5 * rng.standard_normal((4000, 64))
        wrong = rng.random(4000) < 0.2
        labels = np.where(wrong, rng.integers(0, 1000, 4000), classes)
        yield "1,000 clusters, a fifth random, MLP 64-128-1000", factors(rows, labels, 128, epochs=3)


def factors(x: np.ndarray, y: np.ndarray, hidden: int, epochs: int) -> Factors:
    """Train for so many epochs; return the gradient of the outputs, and the hidden layer with its 1."""
    torch.manual_seed(0)
    inputs, targets = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    body = torch.nn.Sequential(torch.nn.Linear(x.shape[1], hidden), torch.nn.ReLU())
    head = torch.nn.Linear(hidden, int(targets.max()) + 1)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], 0.1, momentum=0.9)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(body(inputs[rows])), targets[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        features = body(inputs)
        delta = head(features).softmax(1) - torch.nn.functional.one_hot(targets, head.out_features)
    return delta, torch.cat([features, torch.ones(len(features), 1)], 1)


def written(left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
    return torch.einsum("bp,bq->bpq", left, right).flatten(1).numpy()


def straying(whole: Factors, order: np.ndarray) -> float:
    """The l2 discrepancy of an order in the space of the whole gradients, which are not written out."""
    left, right = (factor.double()[torch.from_numpy(order)] for factor in whole)
    mean = left.T @ right / len(order)
    running, largest = torch.zeros_like(mean), 0.0
    for start in range(0, len(order), 64):
        a, b = left[start : start + 64], right[start : start + 64]
        along = ((a @ mean) * b).sum(1)
        gram = (a @ a.T) * (b @ b.T) - along[:, None] - along + (mean * mean).sum()
        towards = ((a @ running) * b).sum(1) - (running * mean).sum()
        within = gram.cumsum(0).cumsum(1).diagonal()
        largest = max(largest, float(((running * running).sum() + 2 * towards.cumsum(0) + within).max()))
        running += a.T @ b - len(a) * mean
    return largest**0.5


def balanced(whole: Factors, rows: np.ndarray) -> float:
    starts = (np.random.default_rng(seed).permutation(len(rows)) for seed in range(2))
    return float(np.mean([straying(whole, herding.pair(rows, passes=5, start=start)) for start in starts]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':50}{'random':>8}{'whole':>8}" + "".join(f"{width:>9,}" for width in WIDTHS))
    for name, whole in tasks(options.quick):
        n = len(whole[0])
        shuffled = np.mean([straying(whole, np.random.default_rng(s).permutation(n)) for s in range(2)])
        best = balanced(whole, written(*whole))
        lost = [
            np.mean([balanced(whole, written(*FactorSketch(w, seed=s)(*whole)[:2])) for s in range(3)]) / best
            for w in WIDTHS
        ]
        print(f"{name:50}{shuffled:8.1f}{best:8.1f}" + "".join(f"{100 * (x - 1):+8.1f}%" for x in lost))


if __name__ == "__main__":
    main()
