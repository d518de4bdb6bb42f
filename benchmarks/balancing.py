"""Balancing at size: a million rows in memory, an epoch over its sketches, buckets interleaved.

    python benchmarks/balancing.py million    # passes over 1,000,000 x 384, 3 GB of memory
    python benchmarks/balancing.py drawn      # a drawn tenth: two real sets, then 1,000,000 x 384
    python benchmarks/balancing.py buckets    # interleaved orders beside one for all

Fashion-MNIST is read from --fashion, a folder with its idx files (Debian: dataset-fashion-mnist), WordNet's
glosses from --wordnet, its data.noun (Debian: wordnet-base). Everything on one thread.
"""

import argparse
import ctypes
import gzip
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Read by BLAS when numpy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from syllabus.manifests import Fingerprint, Manifest, ManifestWriter, schema, sketches_table
from syllabus.pipeline import Options, prepare
from syllabus.selectors import herding
from syllabus.trainer import ORDERS, Curriculum

MILLION = 1_000_000


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def straying(rows: np.ndarray, order: np.ndarray) -> float:
    """The l2 discrepancy of an order of some of the rows."""
    return herding.discrepancy(rows[order], np.arange(len(order))).l2


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def forget_peak() -> None:
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def memory(line: str) -> float:
    """MB of this process: VmRSS now, or VmHWM, the most since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return next(int(each.split()[1]) for each in status.splitlines() if each.startswith(line)) / 1024


# Passes


def million() -> None:
    herding.balance(unit(np.random.default_rng(1).standard_normal((64, 384))))
    rows = np.random.default_rng(0).standard_normal((MILLION, 384), np.float32)
    s, c = np.ones(384, np.float32), np.ones(len(rows), np.float32)
    products = min(timed(lambda: (rows @ s, c @ rows)) for _ in range(4))
    forget_peak()
    before = memory("VmRSS")
    one, five = (min(timed(lambda k=k: herding.balance(rows, passes=k)) for _ in range(3)) for k in (1, 5))
    above = memory("VmHWM") - before
    print(f"1,000,000 x 384, one thread; Z @ s and c @ Z {products:.3f} s")
    print(f"  one pass, with checks and the mean {one:.3f} s, {one / products:.2f} times that (at most 1.5)")
    each = (five - one) / 4
    print(f"  each of passes 2 to 5 {each:.3f} s, {each / products:.2f} times (at most 4)")
    print(f"  memory above the rows {above:.0f} MB (at most 64)")
    shuffled = np.random.default_rng(2).permutation(MILLION)
    gathered = (timed(lambda: herding.balance(rows, passes=5, start=shuffled)) - one) / 4
    print(f"  from a shuffle (all passes gather): {gathered:.3f} s a pass, {gathered / products:.2f} times")


# An epoch that is drawn


def fashion(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """60,000 images as unit rows of 784 pixels, and their classes."""
    raw = {name: gzip.decompress((folder / f"train-{name}-ubyte.gz").read_bytes()) for name in FASHION}
    pixels = np.frombuffer(raw["images-idx3"], np.uint8, offset=16).reshape(-1, 784)
    return unit(pixels.astype(np.float32)), np.frombuffer(raw["labels-idx1"], np.uint8, offset=8)


FASHION = ("images-idx3", "labels-idx1")


def glosses(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """WordNet's nouns: unit rows of 384 latent semantic dimensions of their glosses, and their files."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("  ")]
    pairs = [line.split(" | ", 1) for line in lines]
    kept = [(head.split()[1], gloss.split('; "')[0]) for head, gloss in pairs if head.split()[1] != "03"]
    words = TfidfVectorizer(min_df=2).fit_transform([gloss for _, gloss in kept])
    rows = TruncatedSVD(384, n_iter=2, random_state=0).fit_transform(words)
    known = np.linalg.norm(rows, axis=1) > 1e-6  # glosses of rare words only
    return unit(rows[known]), np.array([label for label, _ in kept])[known]


def real_sets(arguments: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    yield "Fashion-MNIST pixels", *fashion(arguments.fashion)
    yield "WordNet glosses, LSA", *glosses(arguments.wordnet)


def drawn(arguments: argparse.Namespace, root: Path) -> None:
    print(
        f"{'a drawn tenth, mean of 3 epochs':34}{'n':>10}{'l2':>9}{'random':>9}{'share':>7}{'s/100,000':>11}"
    )
    for number, (name, rows, labels) in enumerate(real_sets(arguments)):
        folder = root / str(number)
        folder.mkdir()
        vector = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        table = pa.table({"vector": vector, "label": labels.astype(str)})
        pq.write_table(table, folder / "data.parquet", row_group_size=8192)
        options = {"embedding": "vector", "label": "label", "subsets": 0, "importance": (), "order": "none"}
        prepare(Options(source=str(folder / "data.parquet"), output=str(folder / "m"), **options))
        curriculum = Curriculum(Manifest.open(folder / "m"), 0.1, 3, "fresh", seed=0)
        own, random, seconds = [], [], []
        for epoch in range(3):
            random.append(straying(rows, ORDERS["shuffle"](curriculum, epoch, 0)))
            start = time.perf_counter()
            order = ORDERS["balance"](curriculum, epoch, 0)
            seconds.append(time.perf_counter() - start)
            own.append(straying(rows, order))
        found, chance = statistics.mean(own), statistics.mean(random)
        pace = min(seconds) / len(order) * 1e5
        name = f"{name}, {rows.shape[1]}"
        print(
            f"{name:34}{len(rows):10,}{found:9.2f}{chance:9.2f}{found / chance:7.3f}{pace:11.3f}", flush=True
        )
    manifest = bare_manifest(root / "million", MILLION, 384)
    curriculum = Curriculum(manifest, 0.1, 4, "fresh", seed=0)
    ORDERS["shuffle"](curriculum, 0, 0)  # the curriculum's own caches
    forget_peak()
    before = memory("VmRSS")
    seconds = [timed(lambda e=e: ORDERS["balance"](curriculum, e, 0)) for e in range(4)]
    above = memory("VmHWM") - before - len(curriculum) * 384 / 2**20
    print(f"1,000,000 x 384, a drawn tenth, reading included: {min(seconds):.3f} s (at most 1);")
    print(f"  memory above the drawn sketches {above:.0f} MB (at most 64)")


def bare_manifest(location: Path, n: int, width: int) -> Manifest:
    """A manifest of sketches drawn at random and nothing else."""
    fingerprint, rng = Fingerprint(), np.random.default_rng(0)
    digest = np.frombuffer(hashlib.sha256(b"").digest(), np.uint8)
    with ManifestWriter(location) as writer:
        for first in range(0, n, 131_072):
            index = np.arange(first, min(first + 131_072, n))
            names, labels = pa.array(index.astype(str)), pa.array(["a"] * len(index))
            fingerprint.update(index, names, labels, np.tile(digest, (len(index), 1)))
            columns = [
                index,
                names,
                labels,
                np.zeros(len(index), np.int32),
                pa.array(["f"] * len(index)),
                index,
            ]
            nulls = [pa.nulls(len(index), kind) for kind in (pa.float32(), pa.int64())]
            rows = pa.Table.from_arrays([*map(pa.array, columns), *nulls], schema=schema.EXAMPLES.schema)
            writer.table(schema.EXAMPLES).write(rows)
            steps = np.rint(20 * rng.standard_normal((len(index), width), np.float32)).astype(np.int8)
            writer.table(schema.sketches(width)).write(sketches_table(index, steps))
        writer.commit(
            {
                "code_version": "0",
                "fingerprint": fingerprint.as_section(),
                "encoder": {
                    "kind": "embedding",
                    "name": "vector",
                    "weights_sha256": None,
                    "dtype": "float32",
                    "dimension": width,
                },
                "options": {},
                "counts": {"source_rows": n, "accepted": n, "rejected": 0, "reasons": {}},
                "partitions": [{"partition": 0, "label": "a", "examples": n}],
                "subsets": [],
                "importances": {},
                "orders": {},
                "sketches": {"dimension": width, "step": 0.0025, "projection": "none"},
            }
        )
    return Manifest.open(location)


# Buckets


def buckets(arguments: argparse.Namespace) -> None:
    print(
        f"{'l2 discrepancy, 5 passes':34}{'n':>10}{'buckets':>9}{'random':>9}{'together':>10}"
        f"{'interleaved':>13}"
    )
    for name, rows, labels in real_sets(arguments):
        compare(f"{name}, {rows.shape[1]}", rows, labels)
    draws = np.random.default_rng(0)
    compare("unit normal, 384", unit(draws.standard_normal((200_000, 384), np.float32)), None)


def compare(name: str, rows: np.ndarray, labels: np.ndarray | None) -> None:
    """Print the discrepancy with the buckets as the job makes them: by label, then by a hash."""
    draws = np.random.default_rng(1)
    shuffled = draws.permutation(len(rows))
    random = herding.discrepancy(rows, shuffled).l2
    together = herding.discrepancy(rows, herding.balance(rows, start=shuffled)).l2
    classes = [shuffled]
    if labels is not None:
        classes = [shuffled[labels[shuffled] == label] for label in np.unique(labels)]
    for size in (16_384, 2048):
        parts = [part for each in classes for part in np.array_split(each, -(-len(each) // size))]
        orders = [part[herding.balance(rows[part])] for part in parts]
        found = herding.discrepancy(rows, herding.interleave(orders)).l2
        print(f"{name:34}{len(rows):10,}{len(parts):9}{random:9.1f}{together:10.2f}{found:13.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("million", "drawn", "buckets"))
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet/data.noun"))
    arguments = parser.parse_args()
    if arguments.part == "million":
        million()
    elif arguments.part == "drawn":
        with tempfile.TemporaryDirectory(prefix="syllabus-balancing-") as folder:
            drawn(arguments, Path(folder))
    else:
        buckets(arguments)


if __name__ == "__main__":
    main()
