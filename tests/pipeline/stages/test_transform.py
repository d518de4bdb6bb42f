"""The transform of vectors: centring and principal axes."""

from __future__ import annotations

import numpy as np

from syllabus.pipeline.stages.transform import Transform, deviations, principal_axes


def test_centring_and_pca_are_what_they_say() -> None:
    draw = np.random.default_rng(0)
    sample = (draw.standard_normal((500, 12)) * np.linspace(3, 0.1, 12) + 5).astype(np.float32)
    mean = sample.mean(axis=0)
    components = principal_axes(sample, mean, 4)
    centred = sample.astype(np.float64) - mean
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(components @ right[:4].T), np.eye(4), atol=1e-4)
    embedded = Transform(mean, components=components).apply(sample)
    assert embedded.dtype == np.float32
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-6)
    assert abs(float(embedded.mean())) < 0.1
    assert Transform(mean).apply(mean[None]).tolist() == [[1.0] + [0.0] * 11]


def test_standardising_gives_each_column_mean_0_and_deviation_1() -> None:
    draw = np.random.default_rng(0)
    sample = (draw.standard_normal((9000, 6)) * [1e-3, 1, 1e6, 1e-30, 1, 1] + [5, 0, 1e7, 0, 0, 0]).astype(
        np.float32
    )
    sample[:, 4] = 0.1  # no deviation
    sample[:, 5] = 3e38 * np.sign(sample[:, 5])  # whose square no float32 has
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    found = deviations(sample, mean)
    exact = sample.astype(np.float64).std(axis=0)
    assert np.allclose(found[[0, 1, 2, 3, 5]], exact[[0, 1, 2, 3, 5]], rtol=1e-3, atol=0)
    assert found[4] == 1
    transform = Transform(mean, found)
    unit = transform.apply(sample)
    expected = (sample.astype(np.float64) - mean) / found
    assert np.allclose(expected[:, [0, 1, 2, 3, 5]].std(axis=0), 1, atol=1e-2)
    assert (unit[:, 4] == 0).all()
    assert np.allclose(unit, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert np.isfinite(transform.apply(np.full((1, 6), 3e38, np.float32))).all()
    # Blocks of any size have one sum: the columns decide nothing, and rows that are not there count nothing.
    assert deviations(sample[:1], sample[0]).tolist() == [1] * 6
