"""examples/any_trainer needs nothing of syllabus, and finds what the manifest's own reader finds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_manifest import write_small_manifest

SCRIPT = Path(__file__).parents[2] / "examples" / "any_trainer" / "train.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("any_trainer", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_texts(path: Path, rows: int) -> Path:
    texts = [f"this is {'a long story' if row % 2 else 'a short poem'} number {row}" for row in range(rows)]
    labels = ["story" if row % 2 else "poem" for row in range(rows)]
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    return path


def test_it_trains_from_a_manifest_without_importing_syllabus(tmp_path):
    write_small_manifest(tmp_path / "m", n=198, fractions=(0.1, 0.3))
    tables = [write_texts(tmp_path / f"{rows}.parquet", rows) for rows in (200, 50)]
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__');"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'syllabus', 'torch', 'apache_beam'}))"
    )
    command = [sys.executable, "-c", code, SCRIPT, tmp_path / "m", *tables, "--fraction", "0.3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    first, *results, loaded = done.stdout.splitlines()
    assert (first, loaded) == ("59 of 198 examples an epoch, 20 epochs", "[]")
    assert len(results) == 4
    assert all(float(re.search(r"([\d.]+)%$", line).group(1)) > 90 for line in results)


def test_it_reads_what_the_manifest_holds(script, tmp_path):
    manifest = write_small_manifest(tmp_path, n=198, fractions=(0.1, 0.3))
    found = script.read_manifest(tmp_path, 0.3, "radius")
    assert (found["examples"] == manifest.examples()).all()
    assert (found["subset"] == manifest.subset(0.3, 0)).all()
    epochs = script.choices(found, seed=0)
    for title, epoch_of in epochs.items():
        drawn = [epoch_of(number) for number in range(3)]
        assert all(len(set(indices)) == 59 and np.isin(indices, found["examples"]).all() for indices in drawn)
        assert len({frozenset(indices) for indices in drawn}) == (3 if title.endswith(", every epoch") else 1)
    counts = np.zeros(manifest.examples()[-1] + 1)
    for number in range(400):
        counts[epochs["drawn by importance, every epoch"](number)[:1]] += 1  # first picks follow p
    share = found["probability"] / found["probability"].sum()
    assert np.abs(counts[found["drawn"]] / 400 - share).max() < 4 * np.sqrt(share.max() / 400)


def test_what_does_not_fit_is_one_line(script, tmp_path):
    write_small_manifest(tmp_path, n=198)
    with pytest.raises(SystemExit, match=r"no subset of fraction 0.5 \(budget 99\)"):
        script.read_manifest(tmp_path, 0.5, "radius")
