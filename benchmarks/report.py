"""What a report takes on a large manifest: time, memory, and the bytes of the file.

    python benchmarks/report.py                   one million examples
    python benchmarks/report.py --n 100000 --images
    python benchmarks/report.py --open            and how long Chromium takes to show it
    python benchmarks/report.py --dimension 384   with vectors, and a map by UMAP of the live points

The manifest has 16 subsets of a tenth, two importances, an order, suspects, near-duplicates, test rows, and a
full preview: 20,000 rows with texts of 300 characters, or thumbnails of 1.8 MB. What comes from embeddings is
drawn from a seed; the files are the real writer's. The report is made in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from sampler import numbered, put

from syllabus.manifests import Fingerprint, ManifestWriter, allocate, budget, schema, sketches_table

CLASSES, SUBSETS, FRACTION, NEIGHBOURS, SIDE = 25, 16, 0.1, 10, 128
BLOCK = 50_000
OPENED = 5
CASE = """
import sys, time
started = time.perf_counter()
from syllabus.manifests import Manifest
from syllabus.pipeline.reporting.html.page import write_report
imported = time.perf_counter()
write_report(Manifest.open(sys.argv[1]), sys.argv[2], umap=sys.argv[3] == "True")
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(f"{imported - started:.1f} | {time.perf_counter() - imported:.1f} | {time.process_time():.1f}"
      f" | {int(peak.split()[1]) / 2**10:.0f}")
"""


def write(location: Path, n: int, images: bool, dimension: int) -> None:
    """Write a manifest of `n` examples with everything that a report shows, and sketches of `dimension`."""
    rng = np.random.default_rng(0)
    index = np.arange(n)
    partition = rng.integers(0, CLASSES, n).astype(np.int32)
    sizes = np.bincount(partition, minlength=CLASSES)
    by_class = np.argsort(partition, kind="stable")
    owner = partition[by_class]
    rank = index - (np.cumsum(sizes) - sizes)[owner]
    agreement = np.where(rng.random(n) < 0.03, 0.0, 0.9).astype(np.float32)
    groups = np.where(rng.random(n) < 0.05, index // 7 * 7, index)
    groups = np.where(groups[groups] == groups, groups, index)
    fingerprint = Fingerprint()
    fingerprint.update(index, pa.array(index).cast(pa.string()), None, np.zeros((n, 32), np.uint8))
    k = budget(FRACTION, n)
    with ManifestWriter(location) as writer:
        labels = pa.array([f"class {number}" for number in range(CLASSES)]).take(pa.array(partition))
        ids = pa.array(numbered(index)).cast(pa.string())
        files = pa.array(["train.parquet"]).take(pa.array(np.zeros(n, np.int32)))
        put(writer, schema.EXAMPLES, index, ids, labels, partition, files, index, agreement, groups)
        shares = allocate(k, sizes)
        for subset in range(SUBSETS):
            parts = np.split(by_class, np.cumsum(sizes)[:-1])
            picks = [rng.permutation(mine)[:share] for mine, share in zip(parts, shares, strict=True)]
            places = np.concatenate([np.arange(len(pick)) for pick in picks])
            rows, mixed = np.concatenate(picks), rng.permutation(k)
            same = [np.full(k, value) for value in (FRACTION, k, subset)]
            columns = (partition[rows], places, rows, 1 / (1.0 + places))
            put(writer, schema.SUBSETS, *same, *(each[mixed] for each in columns), np.arange(k))
        for name in ("disparity_min", "radius"):
            score = 1 / (1.0 + rank)
            probability = score / np.bincount(owner, score)[owner]
            put(writer, schema.importance(name), owner, rank, by_class, score, score, probability)
        put(writer, schema.order("herding"), index, rng.permutation(n))
        if dimension:
            middles = rng.normal(0, 20, (CLASSES, dimension))
            for rows in np.array_split(index, -(-n // BLOCK)):
                vectors = middles[partition[rows]] + rng.normal(0, 25, (len(rows), dimension))
                steps = np.clip(np.rint(vectors), -127, 127).astype(np.int8)
                writer.table(schema.sketches(dimension)).write(sketches_table(rows, steps))
        put(writer, schema.REJECTS, [], [], [], [])
        about = {
            **_preview(writer, rng, n, partition, sizes, images),
            **_hygiene(writer, rng, n, agreement, groups),
        }
        repeated = np.bincount(groups, minlength=n)
        figures, curve = {"l2": 10.0, "linf": 2.0}, np.sin(np.linspace(0, 3, 512)).tolist()
        writer.commit(
            {
                "code_version": "0",
                "fingerprint": fingerprint.as_section(),
                "encoder": {
                    "kind": "none", "name": "none", "weights_sha256": None, "dtype": "float32", "dimension": 1
                },
                "options": {"budgets": "proportional"},
                "counts": {"source_rows": n, "accepted": n, "rejected": 0, "reasons": {}},
                "partitions": [
                    {"partition": p, "label": f"class {p}", "examples": int(size)}
                    for p, size in enumerate(sizes)
                ],
                "subsets": [
                    {
                        "fraction": FRACTION, "budget": k, "count": SUBSETS, "partitions": shares,
                        "objective": "graph_cut", "greedy": 2.0, "random": 1.0, "upper_bound": 2.1,
                        "normalised_gain": {"least": 0.9, "mean": 0.95},
                    }
                ],
                "importances": {name: {} for name in ("disparity_min", "radius")},
                "orders": {
                    "herding": {
                        "discrepancy": figures, "random": figures, "curve": curve, "random_curve": curve
                    }
                },
                **(
                    {"sketches": {"dimension": dimension, "step": 1.0, "projection": "none"}}
                    if dimension
                    else {}
                ),
                "neighbours": {
                    "k": NEIGHBOURS, "method": "exact", "recall": 1.0,
                    "agreement": {
                        "kind": "class", "median": 0.9, "zero_share": float((agreement == 0).mean())
                    },
                    "duplicates": {
                        "threshold": 0.95, "groups": int((repeated > 1).sum()),
                        "examples": int(repeated[repeated > 1].sum()),
                        "share": float(repeated[repeated > 1].sum() / n),
                    },
                },
                **about,
            }
        )  # fmt: skip


def _preview(writer, rng, n, partition, sizes, images) -> dict[str, object]:
    rows = min(n, 20_000)
    chosen = np.sort(rng.choice(n, rows, replace=False))
    x, y = (rng.random(n, np.float32) for _ in range(2))
    cell = (y * SIDE).astype(int) * SIDE + (x * SIDE).astype(int)
    keys, counts = np.unique(partition.astype(np.int64) * SIDE**2 + cell, return_counts=True)
    put(writer, schema.DENSITY, keys // SIDE**2, keys % SIDE**2, counts)
    texts, thumbnails = [None] * rows, [None] * rows
    if images:
        thumbnails[:1500] = [rng.bytes(1200) for _ in range(1500)]
    else:
        words = ["".join(map(chr, rng.integers(97, 123, rng.integers(2, 12)))) for _ in range(20_000)]
        drawn = rng.integers(0, len(words), (rows, 60)).tolist()
        texts = [" ".join(words[place] for place in line)[:300] for line in drawn]
    put(writer, schema.PREVIEW, chosen, x[chosen], y[chosen], np.ones(rows, bool), texts, thumbnails)
    grid = {
        "side": SIDE,
        "rows": len(keys),
        "x": [0.0, 1.0],
        "y": [0.0, 1.0],
        "partitions": list(range(len(sizes))),
    }
    counted = {"texts": 0 if images else rows, "thumbnails": 1500 if images else 0}
    return {"preview": {"rows": rows, "drawn": rows, "projection": "pca", **counted, "grid": grid}}


def _hygiene(writer, rng, n, agreement, groups) -> dict[str, object]:
    suspects = np.flatnonzero(agreement == 0)
    own, rank = np.repeat(suspects, NEIGHBOURS), np.tile(np.arange(NEIGHBOURS), len(suspects))
    other = (own + 1 + rng.integers(0, n - 1, len(own))) % n
    put(writer, schema.SUSPECTS, own, rank, other, rng.random(len(own)))
    members = np.flatnonzero(groups != np.arange(n))
    pairs = np.lexsort((members, groups[members]))
    put(writer, schema.DUPLICATES, groups[members][pairs], members[pairs], np.full(len(members), 0.97))
    found = len(np.unique(groups[members]))
    return {
        "hygiene": {
            "suspects": {"rows": len(own), "listed": len(suspects), "found": len(suspects)},
            "duplicates": {"rows": len(members), "listed": found, "found": found},
        }
    }


def opened(page: Path) -> str:
    """Return how long the page takes until it is ready, in a Chromium that has opened it before."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
    from browser import browser

    seconds = []
    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as tab:
        for _ in range(OPENED + 1):
            tab.call("Page.navigate", url="about:blank")
            started = time.perf_counter()
            tab.open(page)
            seconds.append(time.perf_counter() - started)
        points = tab.value("window.syllabusMap.points.mapped.length")
    warm = ", ".join(f"{each:.2f}" for each in sorted(seconds[1:]))
    return f"opened with {points:,} live points in {warm} s, the first time in {seconds[0]:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--images", action="store_true", help="thumbnails instead of texts")
    parser.add_argument("--dimension", type=int, default=0, help="of the sketches that UMAP takes; 0: none")
    parser.add_argument(
        "--keep", type=Path, help="directory of the manifest and the report; used as it is if there"
    )
    parser.add_argument("--open", action="store_true", help="open the page in Chromium, six times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syllabus-report-") as folder:
        location = options.keep or Path(folder)
        if not (location / "m" / "manifest.json").exists():
            write(location / "m", options.n, options.images, options.dimension)
        print("| examples | import, s | report, s | CPU, s | peak memory, MB | file, MB |")
        print("|---|---|---|---|---|---|")
        case = [
            sys.executable,
            "-c",
            CASE,
            str(location / "m"),
            str(location / "m.html"),
            str(options.dimension > 0),
        ]
        done = subprocess.run(case, check=True, capture_output=True, text=True)
        size = (location / "m.html").stat().st_size / 1e6
        print(f"| {options.n:,} | {done.stdout.strip()} | {size:.2f} |")
        if options.open:
            print(opened(location / "m.html"))


if __name__ == "__main__":
    main()
