"""Time and recall of the search for neighbours, exact and by lists, on clustered vectors.

    python benchmarks/neighbours.py [--rows 60000 250000] [--dimension 384] [--method exact]
    python benchmarks/neighbours.py --rows 60000 --faiss       # and faiss on all pairs, one thread
    python benchmarks/neighbours.py --rows 100000 1000000 --method lists --usearch   # and HNSW, by usearch

The data are 500 clusters of unequal size whose spread is that of text embeddings: the mean cosine of a row
and its tenth neighbour is about .7. A hundredth of the rows are jittered copies. Recall is that of the ten
nearest, of 1,024 rows. usearch (--usearch, extra [bench]) indexes all rows and then looks for 100,000 of
them, by as many threads as workers, with its defaults but for the expansion of the search; the times are
those of all rows, in proportion. Its memory is that of the graph, beside the vectors.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from threadpoolctl import threadpool_limits

from syllabus.pipeline import Options, prepare
from syllabus.pipeline.stages.neighbours import stage as hygiene

QUERIES, BATCH, SEARCHED = 1024, 20_000, 100_000


def write(path: Path, rows: int, dimension: int) -> None:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((500, dimension), dtype=np.float32)
    sizes = draw.dirichlet(np.ones(500))
    with pq.ParquetWriter(path, _schema(dimension)) as writer:
        for first in range(0, rows, 50_000):
            count = min(50_000, rows - first)
            cluster = draw.choice(500, count, p=sizes)
            # Inside a cluster the rows vary along few directions, as embeddings do.
            inside = draw.standard_normal((count, 24), dtype=np.float32)
            axes = np.random.default_rng(1).standard_normal((24, dimension), dtype=np.float32)
            noise = draw.standard_normal((count, dimension), dtype=np.float32)
            vectors = centres[cluster] + 0.2 * inside @ axes + 0.3 * noise
            copies = draw.integers(1, count, count // 100)
            vectors[copies] = vectors[0] + 0.05 * noise[copies]
            columns = [pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimension), cluster % 20]
            writer.write_table(pa.table(columns, schema=_schema(dimension)))


def _schema(dimension: int) -> pa.Schema:
    return pa.schema([("vector", pa.list_(pa.float32(), dimension)), ("label", pa.int64())])


def vectors_of(path: Path) -> np.ndarray:
    """Return the (n, d) unit rows of a source."""
    source = pq.ParquetFile(path)
    vectors = np.empty(
        (source.metadata.num_rows, source.schema_arrow.field("vector").type.list_size), np.float32
    )
    first = 0
    for batch in source.iter_batches(columns=["vector"]):
        rows = batch.column(0).flatten().to_numpy().reshape(len(batch), -1)
        vectors[first : first + len(rows)] = rows
        first += len(rows)
    faiss.normalize_L2(vectors)
    return vectors


def faiss_seconds(path: Path, k: int) -> float:
    """Seconds of faiss for the k + 1 nearest of every row, itself among them; it joins no duplicates."""
    vectors = vectors_of(path)
    start = time.perf_counter()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    index.search(vectors, k + 1)
    return time.perf_counter() - start


def usearch_lines(path: Path, k: int, threads: int) -> Iterator[str]:
    """Yield what an HNSW graph takes for the k nearest of every row, by how far a search expands."""
    from usearch.index import Index

    vectors = vectors_of(path)
    n, keys = len(vectors), np.arange(len(vectors))
    searched = keys[:: max(1, n // SEARCHED)]
    truth = exact(vectors, np.linspace(0, len(searched) - 1, QUERIES).astype(int), searched, k)
    start, busy = time.perf_counter(), time.process_time()
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(keys, vectors, threads=threads, copy=False)
    built, built_busy = time.perf_counter() - start, time.process_time() - busy
    yield f"usearch   index {built:.1f}; CPU {built_busy:.1f}; {index.memory_usage / 1e9:.2f} GB"
    for expansion in (64, 256):
        index.expansion_search = expansion
        start, busy = time.perf_counter(), time.process_time()
        found = np.empty((len(searched), k + 1), np.int64)
        for first in range(0, len(searched), BATCH):
            taken = vectors[searched[first : first + BATCH]]
            found[first : first + BATCH] = index.search(taken, k + 1, threads=threads).keys
        every = n / len(searched)
        seconds, cpu = every * (time.perf_counter() - start), every * (time.process_time() - busy)
        recall = np.mean([len(np.intersect1d(found[place], near)) / k for place, near in truth.items()])
        yield (
            f"usearch   expansion {expansion:<4}  {recall:.4f}  {built + seconds:8.1f}"
            f"  (index {built:.1f}; CPU {built_busy + cpu:.1f})"
        )


def exact(vectors: np.ndarray, places: np.ndarray, rows: np.ndarray, k: int) -> dict[int, np.ndarray]:
    """Return the k nearest other rows of those at some places of `rows`, by their places."""
    found = {}
    for place in places.tolist():
        cosines = vectors @ vectors[rows[place]]
        cosines[rows[place]] = -2
        found[place] = np.argpartition(-cosines, k)[:k]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[60_000, 250_000])
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--method", choices=["exact", "lists"], help="in place of what suits the rows")
    parser.add_argument("--faiss", action="store_true")
    parser.add_argument("--usearch", action="store_true")
    given = parser.parse_args()
    if given.method:
        hygiene.EXACT_ROWS = {"exact": 10**9, "lists": 0}[given.method]
    print("rows       method  lists  probes  recall   seconds")
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "s.parquet", rows, given.dimension)
            options = Options(
                source=f"{folder}/s.parquet",
                output=f"{folder}/m",
                embedding="vector",
                label="label",
                subsets=0,
                importance=(),
                order="none",
                sketch_dim=0,
                workers=given.workers,
            )
            start, busy = time.perf_counter(), time.process_time()
            outcome = prepare(options, Console(quiet=True))
            whole, cpu = time.perf_counter() - start, time.process_time() - busy
            stage = next(each for each in outcome.stages if each.stage == "neighbours")
            found = outcome.document["neighbours"]
            lists, probes = found.get("lists", "-"), found.get("probes", "-")
            print(
                f"{rows:<10} {found['method']:<7} {lists!s:>5}  {probes!s:>6}  {found['recall']:.4f}"
                f"  {stage.seconds:8.1f}  (the whole job {whole:.1f}; CPU {cpu:.1f})",
                flush=True,
            )
            if given.faiss:
                with threadpool_limits(1):
                    seconds = faiss_seconds(Path(folder) / "s.parquet", found["k"])
                print(f"{rows:<10} faiss IndexFlatIP, {found['k']} + 1 nearest   {seconds:20.1f}", flush=True)

            if given.usearch:
                for line in usearch_lines(Path(folder) / "s.parquet", found["k"], given.workers):
                    print(f"{rows:<10} {line}", flush=True)


if __name__ == "__main__":
    main()
