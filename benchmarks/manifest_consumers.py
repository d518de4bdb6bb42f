"""Everybody who reads a manifest, each as a function of its directory that returns what it got."""

from __future__ import annotations

import hashlib
import io
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from syllabus.manifests import Manifest, ManifestError, export, read_sketches, validate
from syllabus.pipeline import Options, prepare
from syllabus.pipeline.reporting.describe import print_description
from syllabus.trainer import SCHEDULES, Curriculum, ManifestSampler, ManifestStream, TrainerError

ROWS, FRACTION = 240, 0.1
SPARE_BYTES = 2 << 30
"""Of address space that a try may take beyond what the process has: far more than these manifests need."""


class Consumers:
    """The consumers of manifests of one small source.

    Attributes:
      manifests: undamaged ones: of labels, and of weights without labels.
    """

    def __init__(self, folder: Path) -> None:
        self.source = folder / "rows.parquet"
        self._scratch = folder / "scratch"
        self._scratch.mkdir(exist_ok=True)
        warnings.simplefilter("ignore")  # of small data
        random = np.random.default_rng(0)
        labels = random.integers(0, 3, ROWS)
        vectors = random.standard_normal((3, 16))[labels] + random.standard_normal((ROWS, 16))
        columns = {
            "vector": list(vectors.astype(np.float32)),
            "label": labels,
            "key": [f"key {row}" for row in range(ROWS)],
            "tokens": random.integers(1, 50, ROWS),
        }
        pq.write_table(pa.table(columns), self.source, row_group_size=50)
        shared = {
            "source": str(self.source),
            "embedding": "vector",
            "subsets": 3,
            "fraction": (FRACTION, 0.3),
        }
        self.manifests = [folder / "labels", folder / "weights"]
        shared["importance"] = ("radius", "disparity_min", "facility_location")
        self._prepare(shared, label="label", id="key", output=str(self.manifests[0]))
        self._prepare(shared, weight="tokens", clusters=3, output=str(self.manifests[1]))
        self.by_name: dict[str, Callable[[Path], Any]] = {
            "validate": self._validate,
            "describe": self._describe,
            "export": self._export,
            "read": self._read,
            "lookup": self._lookup,
            "stream": self._stream,
            **{f"sampler {name}": self._sampler(name) for name in SCHEDULES},
        }
        self.expected = {
            (place, name): consume(place)
            for place in self.manifests
            for name, consume in self.by_name.items()
        }
        _limit_memory()

    def _prepare(self, shared: dict[str, Any], **more: Any) -> None:
        if not Path(more["output"]).exists():  # made before the process that did died
            prepare(Options(**shared, **more), Console(quiet=True))

    def outcomes(self, place: Path, undamaged: Path) -> dict[str, tuple[str, str]]:
        """Return {consumer: (`same`, `found`, `other` or `traceback`, what was said)} of a damaged copy."""
        found = {}
        for name, consume in self.by_name.items():
            try:
                same = consume(place) == self.expected[undamaged, name]
                found[name] = ("same" if same else "other", "")
            except (ManifestError, TrainerError) as error:
                # Memory that could not be had is an error of Arrow, and quoted as any other.
                broken = "\n" in str(error) or "malloc" in str(error) or len(str(error)) > 1000
                found[name] = ("traceback" if broken else "found", str(error))
            except Exception as error:
                found[name] = ("traceback", f"{type(error).__name__}: {error}")
        return found

    @staticmethod
    def _validate(place: Path) -> Any:
        report = validate(place)
        if report.problems:
            raise ManifestError(report.problems[0])
        return report.files

    @staticmethod
    def _describe(place: Path) -> str:
        text = io.StringIO()
        print_description(Console(file=text, width=100), Manifest.open(place))
        return text.getvalue().partition("\n")[2]

    def _export(self, place: Path) -> bytes:
        output = self._scratch / "subset.csv"
        export(Manifest.open(place), FRACTION, 1, output=output, overwrite=True)
        return output.read_bytes()

    @staticmethod
    def _read(place: Path) -> str:
        manifest = Manifest.open(place)
        digest = hashlib.sha256()
        arrays = [manifest.examples(), manifest.partitions(), manifest.order("herding")]
        arrays += [manifest.subset(fraction, i) for fraction in manifest.fractions for i in range(3)]
        arrays += [manifest.top(name, FRACTION) for name in manifest.importances]
        arrays += [read_sketches(manifest, manifest.examples()[::3])]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        for name in (
            "examples",
            "subsets",
            "rejects",
            *(f"importances/{each}" for each in manifest.importances),
        ):
            digest.update(repr(manifest.table(name).to_pydict()).encode())
        return digest.hexdigest()

    @staticmethod
    def _lookup(place: Path) -> Any:
        manifest = Manifest.open(place)
        ids = manifest.records(manifest.examples()[5:50:7], ["id"]).column("id")
        return manifest.lookup(ids).tolist()

    def _stream(self, place: Path) -> Any:
        curriculum = Curriculum(place, FRACTION, 3, "fresh", seed=1)
        rows = ManifestStream(curriculum, self.source, ["tokens"])
        return sorted(str(row) for row in rows)

    @staticmethod
    def _sampler(schedule: str) -> Callable[[Path], Any]:
        def consume(place: Path) -> Any:
            epochs = []
            for order in ("shuffle", "balance") if schedule != "milo" else ("herding", "sequential"):
                curriculum = Curriculum(place, FRACTION, 12, schedule, seed=1)
                # Of the stored subsets, which have an order of their own.
                for epoch in (0, 1) if schedule == "milo" else (0, 11):
                    sampler = ManifestSampler(curriculum, order)
                    sampler.set_epoch(epoch)
                    epochs.append(list(sampler))
            return epochs

        return consume


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE_BYTES,) * 2)
