"""`ManifestStream` over Parquet on an object store: bytes, rows a second and memory; what its order costs.

    python benchmarks/stream.py                    # 10 million rows on moto's S3 server, some minutes
    python benchmarks/stream.py --rows 1000000

A subset is drawn evenly from all rows and read by a loader of two workers. `reader` is the same loader over
what decodes the same row groups, keeps each file open, filters and makes the same dicts, in the order of the
source. Both go through pyarrow's S3 client. Memory is the PSS of the process and its workers, the manifest's
examples included. Discrepancy is that of 100,000 rows in 50 classes, divided by that of random orders.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import object_store
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from process_memory import peak_of

FILES, GROUP, BATCH, EPOCHS = 100, 25_000, 512, 4
TEXT = 64
"""Characters of a row's text."""


def url(port: int) -> str:
    return f"s3://bucket/source?endpoint_override=127.0.0.1:{port}&scheme=http"


def write_source(port: int, rows: int) -> None:
    """Write the rows, numbered, into files of several row groups."""
    store = pafs.S3FileSystem(
        endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
    )
    store.create_dir("bucket")
    random, each = np.random.default_rng(0), rows // FILES
    for number in range(FILES):
        codes = random.integers(97, 113, (each, TEXT), np.uint8)  # four bits a character
        offsets = pa.py_buffer(np.arange(0, (each + 1) * TEXT, TEXT, dtype=np.int32))
        text = pa.Array.from_buffers(pa.string(), each, [None, offsets, pa.py_buffer(codes)])
        table = pa.table({"row": np.arange(number * each, (number + 1) * each), "text": text})
        with store.open_output_stream(f"bucket/source/part-{number:03d}.parquet") as stream:
            pq.write_table(table, stream, row_group_size=GROUP, compression="zstd", use_dictionary=False)


def write_manifest(place: str, rows: int, files: int, partition: np.ndarray) -> None:
    """Write a manifest that has the examples, and nothing chosen of them."""
    from syllabus.manifests import Fingerprint, ManifestWriter, schema

    each, fingerprint = rows // files, Fingerprint()
    names = [f"part-{number:03d}.parquet" for number in range(files)]
    with ManifestWriter(place) as writer:
        for first in range(0, rows, each):
            index = np.arange(first, first + each)
            here = partition[index]
            ids, labels = pa.array(index).cast(pa.string()), pa.array(here).cast(pa.string())
            fingerprint.update(index, ids, labels, np.zeros((each, 32), np.uint8))
            file = pa.array([names[first // each]]).take(pa.array(np.zeros(each, np.int32)))
            nulls = (pa.nulls(each, pa.float32()), pa.nulls(each, pa.int64()))
            columns = [pa.array(index), ids, labels, pa.array(here), file, pa.array(index - first), *nulls]
            table = schema.examples(False)
            writer.table(table).write(pa.Table.from_arrays(columns, schema=table.schema))
        sizes = np.bincount(partition)
        encoder = {"kind": "none", "name": "none", "weights_sha256": None, "dtype": "float32", "dimension": 1}
        writer.commit(
            {
                "code_version": "0",
                "fingerprint": fingerprint.as_section(),
                "encoder": encoder,
                "options": {"budgets": "proportional"},
                "counts": {"source_rows": rows, "accepted": rows, "rejected": 0, "reasons": {}},
                "partitions": [
                    {"partition": number, "label": str(number), "examples": int(size)}
                    for number, size in enumerate(sizes)
                ],
                "subsets": [],
                "importances": {},
                "orders": {},
            }
        )


def curriculum(place: str, fraction: float) -> Any:
    from syllabus.trainer import Curriculum

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Curriculum(place, fraction, EPOCHS, "redraw", seed=0)


def reader(chosen: np.ndarray, source: str) -> Any:
    """Return the data set that decodes every row group that holds a chosen row, and filters."""
    from torch.utils.data import IterableDataset, get_worker_info

    class Reader(IterableDataset):
        def __iter__(self) -> Any:
            worker = get_worker_info()
            store, root = pafs.FileSystem.from_uri(source)
            for number in range(worker.id, FILES, worker.num_workers):
                with store.open_input_file(f"{root}/part-{number:03d}.parquet") as file:
                    parquet = pq.ParquetFile(file)
                    for group in range(parquet.num_row_groups):
                        rows = parquet.read_row_group(group)
                        first, last = rows["row"][0].as_py(), rows["row"][-1].as_py()
                        places = chosen[
                            np.searchsorted(chosen, first) : np.searchsorted(chosen, last, "right")
                        ]
                        if len(places):
                            yield from rows.take(pa.array(places - first)).to_pylist()

    return Reader()


def read(kind: str, place: str, source: str, fraction: float) -> None:
    """Read the epochs in this process and two workers; print the rows, and the seconds of the last epochs."""
    from torch.utils.data import DataLoader

    from syllabus.trainer import ManifestStream

    drawn = curriculum(place, fraction)
    stream = ManifestStream(drawn, source) if kind == "stream" else None
    seconds, rows = 0.0, 0
    for epoch in (0, 1):
        if stream is not None:
            stream.set_epoch(epoch)
        begin = time.perf_counter()
        data = stream or reader(np.sort(drawn.indices(epoch)), source)
        for size in DataLoader(data, BATCH, num_workers=2, collate_fn=len):
            rows += size
        seconds += time.perf_counter() - begin
    print(rows, seconds)


def touched(source: str, chosen: np.ndarray) -> int:
    """Return the compressed bytes of the row groups that hold a chosen row."""
    store, root = pafs.FileSystem.from_uri(source)
    total, first, chosen = 0, 0, np.sort(chosen)
    for number in range(FILES):
        metadata = pq.read_metadata(f"{root}/part-{number:03d}.parquet", filesystem=store)
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            if np.searchsorted(chosen, first) < np.searchsorted(chosen, first + found.num_rows):
                total += sum(found.column(each).total_compressed_size for each in range(found.num_columns))
            first += found.num_rows
    return total


def reads(folder: Path, rows: int, fraction: float) -> None:
    place = str(folder / "m")
    write_manifest(place, rows, FILES, np.random.default_rng(0).integers(0, 10, rows).astype(np.int32))
    with object_store.serving() as port:
        write_source(port, rows)
        drawn = curriculum(place, fraction)
        wanted = sum(touched(url(port), drawn.indices(epoch)) for epoch in (0, 1))
        del drawn
        print(f"{rows:,} rows in {FILES} files, {fraction:.1%} of them, two epochs, two workers\n")
        print("| read by | rows | seconds | rows scanned a second | bytes / row groups' | requests | PSS |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for kind in ("reader", "stream"):
            before = object_store.served(port)
            command = [sys.executable, __file__, "--read", kind, place, url(port), str(fraction)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            peak = peak_of(process)
            count, seconds = process.communicate()[0].split()
            size, requests = (b - a for a, b in zip(before, object_store.served(port), strict=True))
            print(
                f"| {kind} | {int(count):,} | {float(seconds):.1f} | {2 * rows / float(seconds):,.0f} |"
                f" {size / wanted:.3f} | {requests:,} | {peak:,.0f} MB |",
                flush=True,
            )


def discrepancies(folder: Path, rows: int = 100_000, files: int = 10, group: int = 1_000) -> None:
    """Print what orders by windows of row groups cost, on a local copy."""
    from syllabus.selectors.herding import discrepancy
    from syllabus.trainer import ManifestSampler, ManifestStream

    random = np.random.default_rng(1)
    centres = random.standard_normal((50, 32))
    print("\n| rows of the source | order | discrepancy (l2), random = 1 |\n|---|---|---|")
    for name in ("in random order", "sorted by class"):
        classes = random.integers(0, 50, rows)
        classes = np.sort(classes) if name == "sorted by class" else classes
        vectors = centres[classes] + random.standard_normal((rows, 32))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        source, place = folder / name.replace(" ", "-"), str(folder / f"m {name}")
        source.mkdir()
        for number in range(files):
            own = np.arange(number * rows // files, (number + 1) * rows // files)
            pq.write_table(
                pa.table({"row": own}), source / f"part-{number:03d}.parquet", row_group_size=group
            )
        write_manifest(place, rows, files, classes.astype(np.int32))
        drawn = curriculum(place, 0.1)

        def of(order: Any, vectors: np.ndarray = vectors) -> float:
            picked = vectors[np.fromiter(order, np.int64)]
            return discrepancy(picked, np.arange(len(picked))).l2

        mean = np.mean([of(np.random.default_rng(seed).permutation(drawn.indices(0))) for seed in range(5)])
        print(f"| {name} | ManifestSampler, shuffle | {of(ManifestSampler(drawn)) / mean:.2f} |")
        for window in (1, 8, 32):
            stream = ManifestStream(drawn, source, window=window)
            order = of(row["row"] for row in stream)
            print(f"| {name} | ManifestStream, windows of {window} of {rows // group} | {order / mean:.2f} |")
        stream = ManifestStream(drawn, source, order="sequential")
        print(f"| {name} | ManifestStream, sequential | {of(row['row'] for row in stream) / mean:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--read", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="us-east-1")
    if options.read:
        kind, place, source, fraction = options.read
        read(kind, place, source, float(fraction))
        return
    with tempfile.TemporaryDirectory(prefix="stream-") as folder:
        reads(Path(folder), options.rows, options.fraction)
        discrepancies(Path(folder))


if __name__ == "__main__":
    main()
