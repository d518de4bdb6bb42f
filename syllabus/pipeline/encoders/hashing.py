"""Feature hashing of words and word pairs, projected at random: an encoder that needs no weights.

Weinberger et al., "Feature hashing for large scale multitask learning", 2009; Li, Hastie and Church,
"Very sparse random projections", 2006.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity

FEATURES = 2**17
DIMENSION = 256
DENSITY = 16 / DIMENSION
"""A word reaches 16 of them on average: with the customary 1/√FEATURES half of the words would reach none,
with 8 still one in 3,400."""


PIECE = 4_000_000
"""Characters that are hashed at once, where texts allow it: each takes some 70 bytes meanwhile."""


class HashingEncoder(Encoder):
    """scikit-learn's HashingVectorizer and SparseRandomProjection, with fixed seeds."""

    def __init__(self, spec: EncoderSpec) -> None:
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.random_projection import SparseRandomProjection

        self.spec = spec
        # Words of one character count too: "a" and "5" are texts.
        self.hashes = HashingVectorizer(
            n_features=FEATURES, ngram_range=(1, 2), norm="l2", token_pattern=r"(?u)\b\w+\b"
        )
        projection = SparseRandomProjection(DIMENSION, density=DENSITY, random_state=0)
        self.projection = projection.fit(csr_matrix((1, FEATURES))).components_.T.tocsr()

    def identity(self) -> Identity:  # noqa: D102
        digest = hashlib.sha256()
        for part in (self.projection.indptr, self.projection.indices, self.projection.data):
            digest.update(np.ascontiguousarray(part).data)
        return Identity("hashing", "hashing", digest.hexdigest(), "float32", DIMENSION, 0, "cpu")

    def encode(self, content: list[Any], reject: Any) -> np.ndarray:  # noqa: ARG002, D102
        made, piece, held = [np.zeros((0, DIMENSION), np.float32)], [], 0
        for number, text in enumerate(content, start=1):
            piece.append(text)
            held += len(text)
            if held >= PIECE or number == len(content):
                made.append(
                    np.asarray((self.hashes.transform(piece) @ self.projection).toarray(), np.float32)
                )
                piece, held = [], 0
        return np.concatenate(made)
