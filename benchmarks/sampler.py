"""How fast a sampler starts and streams on a large manifest, and what memory it takes.

    python benchmarks/sampler.py                  one million examples, a minute
    python benchmarks/sampler.py --n 10000000 --keep manifest    the manifest, two minutes' work, stays
    python benchmarks/sampler.py --tokens         budgets count tokens, 300 an example in the mean

Each case runs in a process of its own: import, open the manifest, make curriculum and sampler, take the
first row of an epoch, then the rest of it in a plain `for`, then an epoch through a `DataLoader` whose data
set gives the numbers back. With ids, that data set has the rows in another order: its ids are given, and are
in memory before. Memory is the peak above what the process held after its imports (and ids). What is drawn
from embeddings elsewhere is drawn from a seed here; the files are the real writer's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from syllabus.manifests import Fingerprint, Manifest, ManifestWriter, allocate, budget, schema
from syllabus.manifests.budgets import fill

CLASSES = 100
SUBSETS = 2
FRACTION = 0.1
CASES = [
    ("fresh", 0.1, ""), ("redraw", 0.1, ""), ("milo, easy", 0.1, ""), ("milo, hard", 0.1, ""),
    ("fresh", 1.0, ""), ("redraw", 1.0, ""), ("milo, hard", 1.0, ""),
    ("fresh", 0.1, "strings"), ("fresh", 0.1, "int64"), ("milo, hard", 0.1, "strings"),
]  # fmt: skip

CASE = """
import sys, time
started = time.perf_counter()
import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import BatchSampler, DataLoader
from syllabus.manifests import Manifest
from syllabus.trainer import Curriculum, ManifestSampler

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def peak():
    # Not ru_maxrss: a new process has the one of the process that started it, here the writer's.
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10

class Numbers:
    def __getitems__(self, rows):
        return rows
    def __len__(self):
        return sys.maxsize

path, name, fraction, kind = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
imports, ids = time.perf_counter() - started, None
if kind == "strings":
    with open(sys.argv[5] + ".arrow", "rb") as file:
        ids = pa.ipc.open_file(file).read_all()["id"]
elif kind:
    ids = np.load(sys.argv[5] + ".npy")
imported, before = time.perf_counter(), resident()
schedule, _, phase = name.partition(", ")
options = {"easy_fraction": float(phase == "easy")} if phase else {}
import warnings
warnings.simplefilter("ignore", UserWarning)
manifest = Manifest.open(path)
opened = time.perf_counter()
sampler = ManifestSampler(Curriculum(manifest, fraction, 20, schedule, seed=0, **options), ids=ids)
rows = iter(sampler)
next(rows)
first = time.perf_counter()
for row in rows:
    pass
done = time.perf_counter()
memory = peak()
sampler.set_epoch(1)
rows = iter(sampler)
next(rows)
again = time.perf_counter()
loader = DataLoader(Numbers(), batch_sampler=BatchSampler(sampler, 256, False), collate_fn=len)
sampler.set_epoch(2)
batches = iter(loader)
next(batches)
begun = time.perf_counter()
for batch in batches:
    pass
loaded = time.perf_counter()
sampler.set_epoch(0)
k = len(sampler)
named = f", {kind} ids" if kind else ""
print(f"| {name} {fraction:.0%}{named} | {imports:.2f} | {opened - imported:.3f} "
      f"| {first - imported:.2f} | {again - done:.2f} | {k / (done - first) / 1e6:.1f} "
      f"| {k / (done - imported) / 1e6:.1f} | {k / (loaded - begun) / 1e6:.1f} | {memory - before:.0f} |",
      flush=True)
"""


def write(location: Path, n: int, tokens: bool = False) -> Manifest:
    """Write a manifest of `n` examples with gaps in their indices, an importance and one order."""
    rng = np.random.default_rng(0)
    place = np.arange(n)
    index = place + place // 10_000  # every 10,001st row was rejected
    partition = rng.integers(0, CLASSES, n).astype(np.int32)
    sizes = np.bincount(partition, minlength=CLASSES)
    by_class = np.argsort(partition, kind="stable")
    units = rng.geometric(1 / 300, n) if tokens else np.ones(n, np.int64)
    totals = np.bincount(partition, units, minlength=CLASSES).astype(np.int64)
    rejected = np.setdiff1d(np.arange(int(index[-1]) + 1), index)
    fingerprint = Fingerprint()
    digest = np.zeros((1 << 20, 32), np.uint8)
    with ManifestWriter(location, overwrite=True) as writer:
        for start in range(0, n, 1 << 20):
            rows = slice(start, min(start + (1 << 20), n))
            here, part = index[rows], partition[rows]
            ids = pa.array(numbered(here)).cast(pa.string())
            labels = pa.array(part).cast(pa.string())
            fingerprint.update(here, ids, labels, digest[: len(here)])
            files = pa.array(["train.parquet"]).take(pa.array(np.zeros(len(here), np.int32)))
            nulls = (pa.nulls(len(here), pa.float32()), pa.nulls(len(here), pa.int64()))
            more = [units[rows]] if tokens else []
            put(writer, schema.examples(tokens), here, ids, labels, part, files, here, *nulls, *more)
        k = budget(FRACTION, int(totals.sum()))
        entry = {"fraction": FRACTION, "budget": k, "count": SUBSETS}
        more = {"rows": [], "weights": []} if tokens else {}
        for subset in range(SUBSETS):
            picks = []
            shares = zip(np.split(by_class, np.cumsum(sizes)[:-1]), allocate(k, totals).tolist(), strict=True)
            for mine, share in shares:
                drawn = rng.permutation(mine)
                picks.append(drawn[fill(units[drawn], share)])
            rank = np.concatenate([np.arange(len(pick)) for pick in picks])
            mixed = rng.permutation(len(rank))
            rows = np.concatenate(picks)[mixed]
            same = [np.full(len(rows), value) for value in (FRACTION, k, subset)]
            if tokens:
                more["rows"].append(len(rows))
                more["weights"].append(int(units[rows].sum()))
            put(
                writer,
                schema.SUBSETS,
                *same,
                partition[rows],
                rank[mixed],
                index[rows],
                np.zeros(len(rows)),
                place[: len(rows)],
            )
        score = np.empty(n)
        for first, last in zip(np.cumsum(sizes) - sizes, np.cumsum(sizes), strict=True):
            by_class[first:last] = rng.permutation(by_class[first:last])
            score[first:last] = np.sort(rng.gamma(2.0, size=last - first))[::-1]
        owner = partition[by_class]
        rank = place - (np.cumsum(sizes) - sizes)[owner]
        probability = score / np.bincount(owner, score)[owner]
        importance = schema.importance("disparity_min")
        put(writer, importance, owner, rank, index[by_class], score, score, probability)
        put(writer, schema.order("balance"), place, index[rng.permutation(n)])
        lost = len(rejected)
        put(writer, schema.REJECTS, ["train.parquet"] * lost, rejected, ["null_text"] * lost, [""] * lost)
        figures = {"l2": 1.0, "linf": 1.0}
        writer.commit(
            {
                "code_version": "0",
                "fingerprint": fingerprint.as_section(),
                "encoder": {
                    "kind": "none", "name": "none", "weights_sha256": None, "dtype": "float32", "dimension": 1
                },
                "options": {"budgets": "proportional"},
                "counts": {
                    "source_rows": int(index[-1]) + 1,
                    "accepted": n,
                    "rejected": lost,
                    "reasons": {"null_text": lost} if lost else {},
                },
                "partitions": [
                    {
                        "partition": p, "label": str(p), "examples": int(size),
                        **({"weight": int(totals[p])} if tokens else {}),
                    }
                    for p, size in enumerate(sizes)
                ],
                **({"weight": {"column": "tokens", "total": int(totals.sum())}} if tokens else {}),
                "subsets": [{**entry, **more}],
                "importances": {"disparity_min": {}},
                "orders": {
                    "balance": {"discrepancy": figures, "random": figures, "curve": [], "random_curve": []}
                },
            }
        )  # fmt: skip
    return Manifest.open(location)


def numbered(index: np.ndarray) -> np.ndarray:
    """Return the ids of examples as numbers of twelve digits; the manifest has them as text."""
    return 100_000_000_000 + 7_919 * index


def write_ids(location: Path, manifest: Manifest) -> str:
    """Write the ids in a random order as a user has them, strings and integers; return the files' stem."""
    ids = np.random.default_rng(1).permutation(numbered(manifest.examples()))
    stem = str(location / "ids")
    np.save(stem + ".npy", ids)
    rows = pa.table({"id": pa.array(ids).cast(pa.string())})
    with pa.ipc.new_file(stem + ".arrow", rows.schema) as file:
        file.write_table(rows, 1 << 16)
    return stem


def put(writer: ManifestWriter, table: schema.Table, *columns: object) -> None:
    """Write whole columns, a million rows at a time."""
    rows = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, table.schema, strict=True)],
        schema=table.schema,
    )
    for start in range(0, max(rows.num_rows, 1), 1 << 20):
        writer.table(table).write(rows.slice(start, 1 << 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="directory of the manifest; used as it is if there")
    parser.add_argument("--tokens", action="store_true", help="budgets in tokens, in a manifest written anew")
    parser.add_argument("--only", help="cases whose name holds this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syllabus-sampler-") as folder:
        location = options.keep or Path(folder)
        if not (location / "manifest.json").exists():
            write(location, options.n, options.tokens)
        print(
            "| schedule | import, s | open, s | first row, s | next epoch's, s | rows a second, M "
            "| with the start, M | DataLoader, M | memory, MB |\n|---|---|---|---|---|---|---|---|---|",
            flush=True,
        )
        stem = write_ids(Path(folder), Manifest.open(location))
        for name, fraction, kind in CASES:
            if not options.only or options.only in f"{name} {fraction:.0%} {kind}":
                case = [str(location), name, str(fraction), kind, stem]
                subprocess.run([sys.executable, "-c", CASE, *case], check=True, timeout=300)


if __name__ == "__main__":
    main()
