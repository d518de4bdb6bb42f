"""Manifests: the structure of manifest.json with a right digest, bytes of any file, missing files."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from damage import Attempt
from fuzz import bounded_memory, mutated
from random_files import OTHERS, TEXTS, pick
from rich.console import Console

sys.path.append(str(Path(__file__).parent.parent / "tests" / "helpers"))

from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError, validate
from syllabus.manifests.format.document import DIGEST_KEY
from syllabus.pipeline.reporting.describe import print_description
from syllabus.trainer import Curriculum, ManifestSampler

MEANT = (ManifestError, ValueError)
"""What readers raise: errors of the trainer are values' too."""
VALUES = [*TEXTS, *OTHERS, 10**9, 10**15, 0.5, -0.5]


class Fuzz:
    """Changes a small manifest, and reads it in every way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        write_small_manifest(self.whole, neighbours=True)
        self.files = sorted(path for path in self.whole.rglob("*") if path.is_file())

    def attempt(self, random: np.random.Generator) -> Attempt:
        """Run one try."""
        made = self.folder / "m"
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(self.whole, made)
        if random.random() < 0.6:
            document = json.loads((made / "manifest.json").read_text())
            what = "; ".join(changed(document, random) for _ in range(int(random.integers(1, 3))))
            write(made, document)
        else:
            file = made / pick(random, self.files).relative_to(self.whole)
            what = f"bytes of {file.name}"
            file.write_bytes(mutated(file.read_bytes(), random)) if random.random() < 0.8 else file.unlink()
        try:
            with bounded_memory():
                report = validate(made)
                use(made)
        except MEANT as error:
            lines = str(error).splitlines()
            known = type(error).__module__.startswith("syllabus.") and len(lines) == 1
            if not known:
                raise
            return Attempt(what, "refused", str(error))
        if what.startswith("bytes") and report.ok and not same(made, self.whole):
            return Attempt(what, "silent", "validate finds nothing")
        return Attempt(what, "accepted", "; ".join(report.problems))


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same bytes."""
    return all(
        (one / path.relative_to(other)).read_bytes() == path.read_bytes()
        for path in other.rglob("*")
        if path.is_file()
    )


def use(place: Path) -> None:
    """Open a manifest, describe it, read its tables, and draw epochs from it."""
    manifest = Manifest.open(place)
    print_description(Console(file=io.StringIO(), width=100), manifest)
    manifest.examples()
    for fraction in manifest.fractions:
        manifest.subset(fraction, 0)
    for name in manifest.orders:
        manifest.order(name)
    curriculum = Curriculum(manifest, fraction=0.1, epochs=6, schedule="milo", seed=0)
    for epoch in range(6):
        curriculum.indices(epoch)
    list(ManifestSampler(curriculum))


def changed(document: Any, random: np.random.Generator) -> str:
    """Replace, remove, add or copy something somewhere in a document, and say where."""
    path, inner = "", document
    while isinstance(inner, dict | list) and inner:
        key = pick(random, list(inner) if isinstance(inner, dict) else list(range(len(inner))))
        path, holder = f"{path}.{key}", inner
        inner = inner[key]
        if random.random() < 0.25:
            break
    kind = int(random.integers(5))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(inner, int | float) and not isinstance(inner, bool):
        holder[key] = pick(random, [inner + 1, -inner, inner * 10**6, float(inner), inner / 3, str(inner)])
    elif kind == 2 and isinstance(holder, list):
        holder.append(copy.deepcopy(inner))
    elif kind == 3 and isinstance(holder, dict):
        holder[pick(random, TEXTS)] = copy.deepcopy(inner)
    else:
        holder[key] = pick(random, VALUES)
    return f"{path} kind {kind}"


def write(place: Path, document: Any) -> None:
    """Write manifest.json with the digest that its content has."""
    blank = json.dumps({**document, DIGEST_KEY: "0" * 64}, indent=1, sort_keys=True) + "\n"
    digest = hashlib.sha256(blank.encode("utf-8", "replace")).hexdigest()
    (place / "manifest.json").write_bytes(blank.replace("0" * 64, digest, 1).encode("utf-8", "replace"))
