"""Damage to checkpoints of `fit`, for `damage.py`: does a run ever go on from what was not written?

Three small runs (shuffled, with GraB, with a batch-size controller) are interrupted in mid-epoch. A try
damages the checkpoint that one of them left and continues the run: it must end with the parameters and losses
of a run that was not interrupted, or say in one line what is wrong. Nothing in the file may be run.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from damage import Attempt
from rich.console import Console

from syllabus.manifests import Manifest
from syllabus.pipeline import Options, prepare
from syllabus.trainer import Curriculum, GraB, ManifestSampler, MeanGradient, TrainerError, fit
from syllabus.trainer.batch_size import BatchSizeController, GeoDamp

ROWS, WIDTH, BATCH, EPOCHS = 120, 6, 5, 3
RUNS = ("shuffle", "grab", "controller")
MARK = "SYLLABUS_DAMAGE_MARK"


def small_manifest(folder: Path) -> Manifest:
    """Return the manifest of a small job over generated vectors; its source is `folder`/source.parquet."""
    draw = np.random.default_rng(0)
    table = {"vector": list(draw.standard_normal((ROWS, WIDTH)).astype(np.float32)), "row": np.arange(ROWS)}
    pq.write_table(pa.table(table), folder / "source.parquet", row_group_size=16)
    options = {"embedding": "vector", "fraction": 0.3, "clusters": 3, "work_dir": str(folder / "work")}
    made = Options(source=str(folder / "source.parquet"), output=str(folder / "manifest"), **options)
    prepare(made, console=Console(quiet=True))
    return Manifest.open(folder / "manifest")


class Stop(Exception):
    """An interruption."""


class Rows(torch.utils.data.Dataset[Any]):
    """Rows of numbers with a target; what is read is noted."""

    def __init__(self) -> None:
        self.x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1))
        self.read: list[int] = []

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.read.append(row)
        return self.x[row], (self.x[row, 0] > 0).long()


def train(
    manifest: Manifest, run: str, checkpoint: Path | None, stop: int | None = None, seed: int = 0
) -> tuple[list[Any], torch.nn.Module, Rows]:
    """Train from a fixed start, or on from the checkpoint; raise Stop before step `stop`."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(WIDTH, 4), torch.nn.Dropout(0.2), torch.nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion, steps = torch.nn.CrossEntropyLoss(), 0

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        if steps == stop:
            raise Stop
        steps += 1
        return criterion(outputs, targets)

    curriculum = Curriculum(manifest, 0.25, EPOCHS, "fresh", seed=seed)
    options: dict[str, Any] = {}
    order: Any = "shuffle"
    if run == "grab":
        order = GraB(unit=BATCH)
        options["features"] = MeanGradient(model.parameters(), criterion)
    if run == "controller":
        controller = BatchSizeController(GeoDamp(epochs=1), BATCH, maximum=4 * BATCH)
        options["controller"] = controller
    data = Rows()
    records = fit(
        model, data, ManifestSampler(curriculum, order), loss=loss, optimizer=optimizer, batch_size=BATCH,
        scheduler=torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95), checkpoint=checkpoint,
        checkpoint_every=1, progress=False, **options,
    )  # fmt: skip
    return [(record.epoch, record.loss, record.examples) for record in records], model, data


class Harmful:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ[MARK]}",)


def flip(content: bytes, random: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    for bit in random.integers(8 * len(content), size=random.integers(1, 9)).tolist():
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    start, size = int(random.integers(len(content))), int(random.choice([16, 512, 4096]))
    filling = bytes(size) if random.random() < 0.5 else random.bytes(size)
    return content[:start] + filling[: len(content) - start] + content[start + size :]


def packed(content: bytes, random: np.random.Generator) -> bytes:
    """The same parts in another archive: compressed, one left out, one twice, or one replaced."""
    found, how = io.BytesIO(), random.choice(["compressed", "left out", "replaced"])
    method = zipfile.ZIP_DEFLATED if how == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(found, "w", method) as new:
        names = old.namelist()
        chosen = str(random.choice(names))
        for name in names:
            part = old.read(name)
            if name == chosen and how == "left out":
                continue
            new.writestr(name, random.bytes(len(part)) if name == chosen and how == "replaced" else part)
    return found.getvalue()


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def foreign(_content: bytes, random: np.random.Generator) -> bytes:
    """Something that is no checkpoint; some of it would run a program if it were unpickled."""
    harmful = {"version": 1, "model": Harmful()}
    makers: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: b"epoch: 3\n" * int(random.integers(1, 400)),
        lambda: pickle.dumps(harmful),
        lambda: pickle.dumps({"version": 1}),
        lambda: saved(harmful),
        lambda: saved(harmful, _use_new_zipfile_serialization=False),
        lambda: saved(torch.zeros(3)),
        lambda: saved({"version": 1}),
        lambda: saved({"version": 1, "model": {}, "optimizer": {}}),
        lambda: random.bytes(int(random.integers(1, 9000))),
        lambda: zipfile_of({"data.pkl": random.bytes(100)}),
    ]
    return makers[random.integers(len(makers))]()


def zipfile_of(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file.getvalue()


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "bits flipped": flip,
    "overwritten": overwrite,
    "truncated": lambda content, random: content[: random.integers(len(content))],
    "appended to": lambda content, random: content + random.bytes(int(random.integers(1, 70_000))),
    "packed anew": packed,
    "foreign": foreign,
}


class Damage:
    """The runs, and tries on what they left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = folder / "harmful"
        os.environ[MARK] = str(self._mark)
        self._manifest = small_manifest(folder)
        self._whole = {run: train(self._manifest, run, None)[:2] for run in RUNS}
        self._left: dict[str, bytes] = {}
        for run, seed in [*((run, 0) for run in RUNS), ("shuffle", 1)]:
            path = folder / f"{run}-{seed}"
            try:
                train(self._manifest, run, path, stop=9, seed=seed)
            except Stop:
                self._left[f"{run}-{seed}"] = path.read_bytes()

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Damage a checkpoint and go on from it."""
        run = str(random.choice(RUNS))
        place = self._folder / "try"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        path = place / "run.pt"
        kind = str(
            random.choice(
                [*DAMAGES, "another run's", "no file", "nothing"], p=[0.3, *[0.1] * 5, 0.1, 0.05, 0.05]
            )
        )
        damage = f"{run}: {kind}"
        if kind in DAMAGES:
            path.write_bytes(DAMAGES[kind](self._left[f"{run}-0"], random))
        elif kind == "another run's":
            others = sorted(set(self._left) - {f"{run}-0"})
            path.write_bytes(self._left[others[random.integers(len(others))]])
        elif kind == "no file":
            {0: path.mkdir, 1: lambda: os.mkfifo(path), 2: lambda: path.symlink_to("/dev/zero")}[
                int(random.integers(3))
            ]()
        else:
            path.write_bytes(self._left[f"{run}-0"])
        for number in range(int(random.integers(3))):  # what killed runs left
            (place / f".run.pt.{number:012x}.tmp").write_bytes(b"half")
        try:
            figures, model, _ = train(self._manifest, run, path)
        except TrainerError as error:
            outcome, said = ("traceback" if "\n" in str(error) else "found"), str(error)
        else:
            expected, undamaged = self._whole[run]
            pairs = zip(model.state_dict().values(), undamaged.state_dict().values(), strict=True)
            same = figures == expected and all(torch.equal(one, other) for one, other in pairs)
            outcome, said = ("harmless" if same else "silent"), f"{figures}"
        if self._mark.exists():
            return Attempt(damage, "silent", "what the file holds was run")
        left = sorted(file.name for file in place.iterdir())
        if left not in (["run.pt"], []):
            return Attempt(damage, "silent", f"left behind: {left}")
        return Attempt(damage, outcome, said)
