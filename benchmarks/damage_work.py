"""Damage to work directories, for `damage.py`: is a shard that is not what was written ever believed?

A few small jobs are run once. A try copies the work directory of one, damages one to three shards, and runs
the job again: the manifest must have the same bytes. Where a line says that something is in the way of a
shard, the job is run once more: it must then have been mended, by nobody.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from damage import Attempt
from rich.console import Console

from syllabus.manifests import validate
from syllabus.pipeline import JobError, Options, UserError, prepare
from syllabus.pipeline.stages.neighbours import stage as neighbours

FILES, ROWS, WIDTH = 3, 120, 12
EVERY = {"embedding": "vector", "id": "name", "fraction": (0.1, 0.3), "subsets": 2, "neighbours": 3}
JOBS: dict[str, dict[str, Any]] = {
    "labels": {"label": "label", "importance": ("radius", "graph_cut:0.9"), "holdout": "test.parquet"},
    "clusters": {"clusters": 3, "preprocess": "center+pca:8", "sketch_dim": 4},
    "weights": {"label": "label", "weight": "tokens", "importance": "disparity_min"},
    "lists": {"label": "label", "neighbours": 4},
    "bins": {"label": "score", "bins": 3, "bucket_size": 60, "where": "split=train"},
    "query": {
        "label": "label",
        "query": "query.parquet",
        "objective": "facility_location_mutual_information",
    },
    # Of 360 rows a worker may hold 150: buckets of 100 go into parts.
    "parts": {"label": "label", "bucket_size": 100, "memory_per_worker": 150 * 4 * WIDTH / 1e9},
}
EXACT = neighbours.EXACT_ROWS


def write(path: Path, rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((3, WIDTH))
    labels = draw.integers(0, 3, rows)
    vectors = (centres[labels] + draw.standard_normal((rows, WIDTH))).astype(np.float32)
    vectors[1::20] = vectors[0::20]  # near-duplicates, to be joined
    table = {
        "vector": list(vectors),
        "label": [f"class {label}" for label in labels],
        "score": draw.standard_normal(rows),
        "name": [f"{seed}/{row}" for row in range(rows)],
        "tokens": draw.integers(1, 9, rows),
        "split": ["test" if row % 9 == 0 else "train" for row in range(rows)],
    }
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(table), path)


def contents(manifest: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(manifest)): path.read_bytes() for path in manifest.rglob("*") if path.is_file()
    }


class Damage:
    """Damage to the shards of small jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for file in range(FILES):
            write(folder / "source" / f"{file}.parquet", ROWS, file)
        write(folder / "test.parquet", 40, 7)
        write(folder / "query.parquet", 20, 8)
        self.manifests, self.shards = {}, {}
        for name in JOBS:
            self.prepare(name, folder / name)
            self.manifests[name] = contents(folder / name / "m")
            work = folder / name / "w"
            self.shards[name] = [path.relative_to(work) for path in sorted(work.glob("*/*/*"))]

    def prepare(self, name: str, place: Path, overwrite: bool = False) -> str:
        """Run a job at a place; return what it says."""
        given = {**EVERY, **JOBS[name]}
        for option in ("holdout", "query"):
            if option in given:
                given[option] = str(self.folder / given[option])
        given.update(source=str(self.folder / "source"), output=str(place / "m"), work_dir=str(place / "w"))
        neighbours.EXACT_ROWS = 100 if name == "lists" else EXACT
        said = io.StringIO()
        prepare(Options(**given, overwrite=overwrite), Console(file=said))
        return said.getvalue()

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Damage the shards of a job, and run it again."""
        name = list(JOBS)[random.integers(len(JOBS))]
        place = self.folder / "try"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder / name / "w", place / "w")
        if random.random() < 0.5:  # else a finished job, whose last shards alone are read
            late = ["order", "cover", "neighbours", "subsets"]
            for stage in late[: random.integers(1, len(late) + 1)]:
                shutil.rmtree(place / "w" / stage, ignore_errors=True)
        here = [path for path in self.shards[name] if (place / "w" / path).exists()]
        damage = [name]
        for _ in range(random.integers(1, 4)):
            path, kind = here[random.integers(len(here))], KINDS[random.integers(len(KINDS))]
            damage.append(f"{kind.__name__} {path} {kind(self, place / 'w' / path, path, name, random)}")
        return self._judged(name, place, "; ".join(damage))

    def _judged(self, name: str, place: Path, damage: str) -> Attempt:
        said = ""
        for number in range(3):
            try:
                said += self.prepare(name, place)
                break
            except (JobError, UserError) as error:
                said += f"{error}\n"
                if number == 2 or "\n" in str(error):
                    return Attempt(damage, "found" if number == 2 else "traceback", said)
        if contents(place / "m") != self.manifests[name] or not validate(place / "m").ok:
            return Attempt(damage, "silent", said)
        named = "is damaged" in said or "not there any more" in said
        return Attempt(damage, "mended" if named else "harmless", said)

    def other(self, path: Path, name: str, random: np.random.Generator) -> Path | None:
        """Another shard of the stage: of this job, or of any."""
        jobs = [name] if random.random() < 0.5 else list(JOBS)
        found = [
            self.folder / job / "w" / each
            for job in jobs
            for each in self.shards[job]
            if each.parts[0] == path.parts[0] and each != path
        ]
        return found[random.integers(len(found))] if found else None


def flipped(_all: Damage, at: Path, _path: Path, _name: str, random: np.random.Generator) -> str:
    """Flip one to eight bits."""
    content = bytearray(at.read_bytes() if at.is_file() else b"")
    places = random.integers(len(content), size=random.integers(1, 9)) if content else []
    for place in places:
        content[place] ^= 1 << int(random.integers(8))
    return replaced(at, bytes(content), f"at {list(map(int, places))}")


def cut(_all: Damage, at: Path, _path: Path, _name: str, random: np.random.Generator) -> str:
    """Leave the beginning, maybe none of it."""
    content = at.read_bytes() if at.is_file() else b""
    stop = int(random.integers(len(content) + 1)) * int(random.random() < 0.8)
    return replaced(at, content[:stop], f"to {stop} of {len(content)} bytes")


def zeroed(_all: Damage, at: Path, _path: Path, _name: str, random: np.random.Generator) -> str:
    """Put zeroes in the place of a stretch: what a crash left of a file that was not on the disk yet."""
    content = bytearray(at.read_bytes() if at.is_file() else b"")
    start, stop = sorted(random.integers(len(content) + 1, size=2).tolist())
    content[start:stop] = bytes(stop - start)
    return replaced(at, bytes(content), f"from {start} to {stop}")


def appended(_all: Damage, at: Path, _path: Path, _name: str, random: np.random.Generator) -> str:
    """Append garbage, or the file itself."""
    content = at.read_bytes() if at.is_file() else b""
    more = content if random.random() < 0.3 else random.bytes(int(random.integers(1, 200)))
    return replaced(at, content + more, f"{len(more)} bytes")


def garbage(_all: Damage, at: Path, _path: Path, _name: str, random: np.random.Generator) -> str:
    """Put anything in the place of the shard."""
    valid = json.dumps([[1, {"a": None}], {}, "x", {"value": 3}][random.integers(4)]).encode()
    return replaced(at, valid if random.random() < 0.3 else random.bytes(int(random.integers(1, 3000))), "")


def foreign(everything: Damage, at: Path, path: Path, name: str, random: np.random.Generator) -> str:
    """Put another shard of the stage in the place of the shard."""
    other = everything.other(path, name, random)
    return "" if other is None else replaced(at, other.read_bytes(), f"by {other}")


def swapped(everything: Damage, at: Path, path: Path, name: str, random: np.random.Generator) -> str:
    """Swap two shards of a stage of this job."""
    other = everything.other(path, name, random)
    work = at.parents[2]
    if other is None or other.parents[2].parent.name != name:
        return ""
    beside = work / other.relative_to(other.parents[2])
    if not (beside.is_file() and at.is_file()):
        return ""
    content = beside.read_bytes()
    replaced(beside, at.read_bytes(), "")
    return replaced(at, content, f"with {other.name}")


def spliced(everything: Damage, at: Path, path: Path, name: str, random: np.random.Generator) -> str:
    """Put a stretch of another shard of the stage in the place of this one's, at the same place."""
    other = everything.other(path, name, random)
    if other is None or not at.is_file():
        return ""
    content, theirs = bytearray(at.read_bytes()), other.read_bytes()
    start, stop = sorted(random.integers(min(len(content), len(theirs)) + 1, size=2).tolist())
    content[start:stop] = theirs[start:stop]
    return replaced(at, bytes(content), f"by {other} from {start} to {stop}")


def deleted(_all: Damage, at: Path, _path: Path, _name: str, _random: np.random.Generator) -> str:
    """Delete the shard."""
    at.unlink(missing_ok=True) if not at.is_dir() else at.rmdir()
    return ""


def no_file(_all: Damage, at: Path, _path: Path, _name: str, random: np.random.Generator) -> str:
    """Put a directory or a pipe in the place of the shard."""
    deleted(_all, at, _path, _name, random)
    if random.random() < 0.5:
        at.mkdir()
        return "a directory"
    os.mkfifo(at)
    return "a pipe"


def replaced(at: Path, content: bytes, what: str) -> str:
    deleted_first = at.is_dir() or at.is_fifo()
    if deleted_first:
        return f"{what} (no file by now)"
    at.write_bytes(content)
    return what


KINDS: list[Callable[[Damage, Path, Path, str, np.random.Generator], str]] = [
    flipped, flipped, cut, zeroed, appended, garbage, foreign, swapped, spliced, deleted, no_file,
]  # fmt: skip
