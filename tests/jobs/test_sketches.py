"""The sketches that a job writes: what they stand for, their bytes, and the option."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from job_sources import digests, document, write_embeddings
from rich.console import Console

from syllabus.manifests import Manifest, read_sketches, validate
from syllabus.pipeline import Options, UserError, prepare

COUNT = 9100  # more than a chunk's 8,192 rows


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Vectors on a common large mean, and what the job makes of them: unit rows."""
    folder = tmp_path_factory.mktemp("vectors")
    vectors = write_embeddings(folder / "a.parquet", COUNT, seed=3).astype(np.float64)
    return folder, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def run(source: Path, output: Path, **options: object) -> Manifest:
    given = {"embedding": "vector", "label": "label", "subsets": 1, "importance": (), "order": "none"}
    prepare(Options(source=str(source), output=str(output), **{**given, **options}), Console(quiet=True))
    assert validate(output).problems == []
    return Manifest.open(output)


def test_a_sketch_is_the_centred_embedding_within_half_a_step(source, tmp_path) -> None:
    manifest = run(source[0], tmp_path / "m")
    about = manifest.description["sketches"]
    centred = source[1] - source[1].mean(axis=0)
    assert (about["dimension"], about["projection"]) == (24, "none")
    # As fine as the largest value allows.
    assert about["step"] == pytest.approx(np.abs(centred).max() / 127, rel=1e-6)
    steps = read_sketches(manifest, manifest.examples())
    assert np.abs(steps).max() == 127
    assert np.abs(steps * about["step"] - centred).max() <= about["step"] * 0.5001


def test_fewer_dimensions_are_the_leading_principal_ones(source, tmp_path) -> None:
    manifest = run(source[0], tmp_path / "m", sketch_dim=5)
    about = manifest.description["sketches"]
    assert (about["dimension"], about["projection"]) == (5, "pca")
    steps = read_sketches(manifest, manifest.examples()) * about["step"]
    centred = source[1] - source[1].mean(axis=0)
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    leading = centred @ right[:5].T
    # Axes have no sign that matters, and close ones may turn: inner products have neither.
    assert np.abs(steps[:50] @ steps[:50].T - leading[:50] @ leading[:50].T).max() < 0.05
    assert np.abs(leading).max() <= about["step"] * 127 * 1.01


@pytest.mark.parametrize("sketch_dim", [None, 5])
def test_their_bytes_depend_on_neither_memory_nor_workers(source, tmp_path, sketch_dim) -> None:
    given = {} if sketch_dim is None else {"sketch_dim": sketch_dim}
    run(source[0], tmp_path / "a", **given)
    # One chunk a group, instead of both in one.
    run(source[0], tmp_path / "b", memory_per_worker=0.001, workers=2, **given)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_none_are_written_where_none_are_wanted(source, tmp_path) -> None:
    manifest = run(source[0], tmp_path / "m", sketch_dim=0)
    assert "sketches" not in document(tmp_path / "m")
    assert not any(path.startswith("sketches") for path in digests(tmp_path / "m"))
    assert manifest.n == COUNT


def test_more_dimensions_than_there_are_end_the_job_at_once(source, tmp_path) -> None:
    with pytest.raises(UserError, match=r"^sketch_dim=25: is above the 24 dimensions$"):
        run(source[0], tmp_path / "m", sketch_dim=25)
    assert not (tmp_path / "m.work" / "embed").exists()


def test_equal_vectors_have_sketches_of_zeros(tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "s").mkdir()
    rows = {"vector": [[1.0, 0.0, 0.0]] * 20, "label": ["a"] * 20}
    pq.write_table(pa.table(rows), tmp_path / "s" / "a.parquet")
    manifest = run(tmp_path / "s", tmp_path / "m")
    assert manifest.description["sketches"]["step"] == 1.0
    assert not read_sketches(manifest, manifest.examples()).any()
