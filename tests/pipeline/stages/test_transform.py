"""The transform of vectors: centring and principal axes."""

from __future__ import annotations

import numpy as np

from syllabus.pipeline.stages.transform import Transform, principal_axes


def test_centring_and_pca_are_what_they_say() -> None:
    draw = np.random.default_rng(0)
    sample = (draw.standard_normal((500, 12)) * np.linspace(3, 0.1, 12) + 5).astype(np.float32)
    mean = sample.mean(axis=0)
    components = principal_axes(sample, mean, 4)
    centred = sample.astype(np.float64) - mean
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(components @ right[:4].T), np.eye(4), atol=1e-4)
    embedded = Transform(mean, components).apply(sample)
    assert embedded.dtype == np.float32
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-6)
    assert abs(float(embedded.mean())) < 0.1
    assert Transform(mean).apply(mean[None]).tolist() == [[1.0] + [0.0] * 11]
