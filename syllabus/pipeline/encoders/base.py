"""The base class of encoders, what a worker builds one from, and what determines its vectors."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from syllabus.pipeline.encoders.images import DECODING
from syllabus.pipeline.sources.sizes import UNBOUNDED


@dataclass(frozen=True)
class EncoderSpec:
    """Description of an encoder that a worker builds it from; made by the plan, pickled to the workers."""

    kind: str
    """``sentence-transformers``, ``module``, ``hashing`` or ``column``."""
    name: str
    content: str
    """``text``, ``image`` or ``embedding``."""
    dtype: str
    device: str | None
    batch_size: int
    threads: int
    dimension: int = 0
    """Width of the vectors where the source fixes it (``column``)."""
    files: str | None = None
    """Digest of the files of a model in a directory."""
    max_image_pixels: int = UNBOUNDED
    """Pixels of an image from which on it is not decoded."""
    long_texts: str = "truncate"
    """``truncate`` or ``chunks``: what becomes of texts beyond the model's limit."""
    directory: str | None = None
    """Where the job was started, for ``module``: its modules are looked for there last."""

    @property
    def cheap(self) -> bool:
        """Whether reading the source costs more than encoding it: then a worker takes runs of chunks."""
        return self.kind in ("column", "hashing")


@dataclass(frozen=True)
class Identity:
    """Identity of an encoder: all that determines the vectors beside the content; in keys and manifest."""

    kind: str
    name: str
    weights_sha256: str | None
    dtype: str
    dimension: int
    batch_size: int
    """Examples in a forward pass: a matrix product's last bits depend on its shape."""
    device: str
    preprocessing_sha256: str | None = None
    """Of what comes before and after the weights: tokenizer, pooling, prompts; a factory's source; how images
    are decoded."""
    max_seq_length: int | None = None
    """Tokens that a text is cut at, where the encoder says which texts it cuts; else None."""
    long_texts: str | None = None
    """``chunks`` where the rest of a text is read too."""

    def as_section(self) -> dict[str, Any]:
        """Return what the manifest records."""
        values = asdict(self)
        # Left out where there is none, so that what was made without a limit stays what it was.
        return {
            name: value
            for name, value in values.items()
            if value is not None or name not in ("max_seq_length", "long_texts")
        }

    def key_fields(self) -> dict[str, Any]:
        """Return what a key holds: not the name, so that a model may be renamed or moved."""
        return _without(self.as_section(), "name")


class Encoder(ABC):
    """Turns the content of a chunk into vectors. One per thread of a worker; weights are shared."""

    @abstractmethod
    def identity(self) -> Identity:
        """Return what determines the vectors."""

    @abstractmethod
    def encode(self, content: list[Any], reject: Any) -> np.ndarray:
        """Return the (n, d) float32 vectors of `content`, not normalised.

        `reject(row, reason, detail)` is called for content that turns out to be broken; its vector is zero.
        """

    def truncated(self, content: list[Any]) -> np.ndarray | None:  # noqa: ARG002
        """Return the (n,) mask of the texts that `encode` cuts; None for encoders that do not say."""
        return None

    def clone_for_thread(self) -> Encoder:
        """Return an encoder for another thread, with the same weights; itself where threads may share it."""
        return self


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def with_decoding(preprocessing_sha256: str | None, content: str) -> str | None:
    """Return the digest of the preprocessing, for images with the version of their decoding."""
    if content != "image":
        return preprocessing_sha256
    return hashlib.sha256(f"{preprocessing_sha256} decoding {DECODING}".encode()).hexdigest()


def state_sha256(state: dict[str, Any]) -> str:
    """Return the sha256 of a state_dict in the order of its names: dtype, shape and bytes of each tensor."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        if not isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor!r}\n".encode())
            continue
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # bfloat16 has no numpy type: hash the bytes.
        digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()
