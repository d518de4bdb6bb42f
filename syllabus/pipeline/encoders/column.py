"""The encoder of vectors made elsewhere, which takes a column as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity


class ColumnEncoder(Encoder):
    """The embedding column itself."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    def identity(self) -> Identity:  # noqa: D102
        return Identity("column", self.spec.name, None, "float32", self.spec.dimension, 0, "cpu")

    def encode(self, content: Any, reject: Any) -> np.ndarray:  # noqa: ARG002, D102
        return np.asarray(content, np.float32)
