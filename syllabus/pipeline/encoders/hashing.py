"""Hashed words and word pairs, projected at random: an encoder that needs no weights.

Weinberger et al., "Feature hashing for large scale multitask learning", 2009; Li, Hastie and Church,
"Very sparse random projections", 2006.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity

FEATURES = 2**18
DIMENSION = 256
# Eight entries a feature: with the customary 1/√FEATURES, half of the words would map to nothing.
DENSITY = 8 / DIMENSION


class HashingEncoder(Encoder):
    """scikit-learn's HashingVectorizer and SparseRandomProjection, with fixed seeds."""

    cheap = True

    def __init__(self, spec: EncoderSpec) -> None:
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.random_projection import SparseRandomProjection

        self.spec = spec
        self.hashes = HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), norm="l2")
        projection = SparseRandomProjection(DIMENSION, density=DENSITY, random_state=0)
        self.projection = projection.fit(csr_matrix((1, FEATURES))).components_.T.tocsr()

    def identity(self) -> Identity:  # noqa: D102
        return Identity("hashing", "hashing", None, "float32", DIMENSION, 0, "cpu")

    def encode(self, content: list[Any], reject: Any) -> np.ndarray:  # noqa: ARG002, D102
        return np.asarray((self.hashes.transform(content) @ self.projection).toarray(), np.float32)
