"""Any sentence-transformers model, by name or path: text models, and CLIP-like models for images.

A unit of the plan is one block: sorted by length inside, batches of a fixed size, one `encode` call a
batch. A Beam ModelHandler would be handed batches that depend on what arrives when; vectors would then
differ in their last bits between runs.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity, state_sha256
from syllabus.pipeline.encoders.batches import Batches
from syllabus.pipeline.encoders.devices import pick_device, torch_dtype
from syllabus.pipeline.encoders.pictures import decode
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.threads import limit_threads


class SentenceEncoder(Encoder):
    """A `SentenceTransformer` behind fixed batches."""

    def __init__(self, spec: EncoderSpec, model: Any = None) -> None:
        self.spec = spec
        self.device = pick_device(spec.device)
        limit_threads(spec.threads)
        self.model = model if model is not None else _load(spec, self.device)
        self.batches = Batches(self._forward, spec.batch_size)

    def identity(self) -> Identity:  # noqa: D102
        dimension = int(self.model.get_sentence_embedding_dimension() or len(self._probe()))
        return Identity(
            "sentence-transformers",
            # A path differs between machines, and says nothing that the weights' hash does not.
            Path(self.spec.name).name if Path(self.spec.name).exists() else self.spec.name,
            state_sha256(self.model.state_dict()),
            self.spec.dtype,
            dimension,
            self.spec.batch_size,
            self.device.split(":")[0],
        )

    def _probe(self) -> Any:
        return self._forward(["" if self.spec.content == "text" else decode(None)])[0]

    def encode(self, content: list[Any], reject: Any) -> np.ndarray:  # noqa: D102
        limit_threads(self.spec.threads)
        if self.spec.content == "text":
            return self.batches.run(content, [len(text) for text in content])
        return self.batches.run([_Picture(data, row, reject) for row, data in enumerate(content)])

    def twin(self) -> Encoder:
        """Return an encoder that shares the weights: a tokenizer cannot be used by two threads at once."""
        shared = {id(tensor): tensor for tensor in [*self.model.parameters(), *self.model.buffers()]}
        return SentenceEncoder(self.spec, copy.deepcopy(self.model, shared))

    def _forward(self, batch: list[Any]) -> np.ndarray:
        inputs = [item.open() if isinstance(item, _Picture) else item for item in batch]
        vectors = self.model.encode(
            inputs,
            batch_size=len(inputs),
            show_progress_bar=False,
            convert_to_tensor=True,
            normalize_embeddings=False,
        )
        return np.asarray(vectors.float().cpu().numpy(), np.float32)


class _Picture:
    """An image that is decoded when its batch comes: a unit of decoded images would fill the memory."""

    def __init__(self, data: bytes, row: int, reject: Any) -> None:
        self.data, self.row, self.reject = data, row, reject

    def open(self) -> Any:
        try:
            return decode(self.data)
        except (OSError, ValueError, SyntaxError) as error:
            self.reject(self.row, "unreadable image", str(error))
            return decode(None)


def _load(spec: EncoderSpec, device: str) -> Any:
    # The tokenizer's own threads after a fork are a warning at best; workers bring their own parallelism.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(
            spec.name, device=device, model_kwargs={"dtype": torch_dtype(spec.dtype, device)}
        )
    except Exception as error:  # every library below raises its own
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"encoder {spec.name!r}: is no sentence-transformers model here (name or path),"
            f" no package.module:factory and not 'hashing': {line[:200]}"
        ) from None
    return model.eval()
