"""What orders are worth to training where labels are noisy, and where not: digits, logistic regression.

    python benchmarks/label_noise.py               # a fifth of the labels random; minutes on one thread
    python benchmarks/label_noise.py --labels 0    # the true labels
    python benchmarks/label_noise.py --lr 0.02     # small steps

Everything goes through the real job, manifest, curriculum and sampler.
"""

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from syllabus.manifests import Manifest
from syllabus.pipeline import Options, prepare
from syllabus.trainer import Curriculum, GraB, LastLayer, ManifestSampler

DECAY = 1e-4
SEEDS = 3


def manifest_of(folder: Path, vectors: np.ndarray, labels: np.ndarray) -> Manifest:
    """Run the job on vectors made elsewhere."""
    columns = {"vector": pa.array(vectors.tolist(), pa.list_(pa.float32())), "label": labels.astype(str)}
    pq.write_table(pa.table(columns), folder / "data.parquet")
    source, output = str(folder / "data.parquet"), str(folder / "manifest")
    prepare(
        Options(
            source=source, output=output, embedding="vector", label="label", fraction=(0.1, 0.3), subsets=8
        )
    )
    return Manifest.open(output)


def objective(weight: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (
        functional.cross_entropy(x @ weight[:, :-1].T + weight[:, -1], y) + DECAY / 2 * weight.square().sum()
    )


def optimum(x: torch.Tensor, y: torch.Tensor) -> float:
    weight = torch.zeros(10, x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight], max_iter=1000, tolerance_grad=1e-8, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        solver.zero_grad()
        value = objective(weight, x.double(), y)
        value.backward()
        return value

    solver.step(closure)
    return float(closure())


def final(x: torch.Tensor, y: torch.Tensor, sampler: ManifestSampler, lr: float, epochs: int) -> float:
    """Train and return the objective on all data after the last epoch."""
    torch.manual_seed(0)
    model, criterion = torch.nn.Linear(x.shape[1], 10), torch.nn.CrossEntropyLoss()
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr, weight_decay=DECAY)
    grab = sampler.order if isinstance(sampler.order, GraB) else None
    features = LastLayer(model, criterion) if grab is not None else None
    for number in range(epochs):
        sampler.set_epoch(number)
        # Without the short last batch, whose mean loss would weigh its few examples several times.
        for rows in torch.tensor(list(sampler)).split(16)[: len(sampler) // 16]:
            optimizer.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            if grab is not None and features is not None:
                grab.step(features())
            optimizer.step()
    with torch.no_grad():
        weight = torch.cat([model.weight, model.bias[:, None]], 1)
        return float(objective(weight.double(), x.double(), y))


def label_noise(share: float, lr: float, fractions: list[float], only: str) -> None:
    data, labels = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(data))[:1792]
    data, labels = data[rows], labels[rows].copy()
    data = (data - data.mean(0)) / np.maximum(data.std(0), 1e-8)
    rng = np.random.default_rng(1)
    noisy = rng.permutation(len(labels))[: round(share * len(labels))]
    labels[noisy] = rng.integers(0, 10, len(noisy))
    vectors = (data / np.linalg.norm(data, axis=1, keepdims=True)).astype(np.float32)
    folder = tempfile.TemporaryDirectory(prefix="syllabus-noise-")
    manifest = manifest_of(Path(folder.name), vectors, labels)
    x, y = torch.from_numpy(data).float(), torch.from_numpy(labels).long()
    best = optimum(x, y)
    print(
        f"digits, n=1,792, {share:.0%} random labels, logistic regression, B=16, lr {lr:g};"
        f" optimum {best:.6f}"
    )
    print("objective less the optimum after the examples of 50 full epochs, mean ± deviation of 3 seeds")
    for fraction in fractions:
        orders: dict[str, tuple[str, Callable[[], GraB | str]]] = {
            "shuffle": ("fresh", lambda: "shuffle"),
            "GraB pair": ("fresh", lambda: GraB("pair")),
            "GraB mean": ("fresh", lambda: GraB("mean")),
            "GraB kernel-halving": ("fresh", lambda: GraB("kernel-halving")),
            "balance": ("fresh", lambda: "balance"),
        }
        if fraction == 1.0:
            orders |= {
                "shuffle_once": ("fresh", lambda: "shuffle_once"),
                "flip_flop": ("fresh", lambda: "flip_flop"),
                "herding, fixed": ("fresh", lambda: "herding"),
                "GraB pair from herding": ("fresh", lambda: GraB("pair", start="herding")),
                "greedy": ("fresh", lambda: GraB("greedy")),
            }
        else:
            orders |= {
                "milo, shuffle": ("milo", lambda: "shuffle"),
                "milo, GraB pair": ("milo", lambda: GraB("pair")),
                "milo, balance": ("milo", lambda: "balance"),
                "redraw, shuffle": ("redraw", lambda: "shuffle"),
                "redraw, balance": ("redraw", lambda: "balance"),
            }
        epochs, base = round(50 / fraction), 0.0
        for name, (schedule, order) in orders.items():
            if only not in name:
                continue
            gaps = []
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for seed in range(SEEDS):
                    curriculum = Curriculum(
                        manifest, fraction, epochs, schedule, seed=seed, budgets="proportional"
                    )
                    sampler = ManifestSampler(curriculum, order())
                    gaps.append(final(x, y, sampler, lr, epochs) - best)
            gap = statistics.mean(gaps)
            base = base or gap
            spread = statistics.stdev(gaps)
            print(
                f"  fraction {fraction:3g}  {name:24}{gap:9.5f} ±{spread:8.5f}{gap / base:8.2f}", flush=True
            )
            said = {str(warning.message) for warning in caught if str(warning.message).startswith("GraB")}
            for message in said:
                print(f"      {message}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=float, default=0.2, help="share of random labels")
    parser.add_argument("--lr", type=float, default=0.2)
    parser.add_argument("--fractions", type=float, nargs="+", default=[1.0, 0.1, 0.3])
    parser.add_argument("--only", default="", help="rows whose name holds this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    label_noise(arguments.labels, arguments.lr, arguments.fractions, arguments.only)


if __name__ == "__main__":
    main()
