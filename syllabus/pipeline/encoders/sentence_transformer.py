"""Sentence-transformers models, by name or path: text models, and CLIP-like models for images.

A chunk of the plan is one block: sorted by length inside, batches of a fixed size, one `encode` call a
batch. A Beam ModelHandler would be handed batches that depend on what arrives when; vectors would then
differ in their last bits between runs.
"""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity, state_sha256, with_decoding
from syllabus.pipeline.encoders.batches import Batches
from syllabus.pipeline.encoders.images import EncodedImage, decode, encoded_images
from syllabus.pipeline.encoders.model_loading import check_name, load_model, quiet
from syllabus.pipeline.encoders.text_chunks import encode_whole
from syllabus.pipeline.encoders.token_limit import TokenLimit, token_limit
from syllabus.pipeline.runtime.torch_setup import limit_threads, pick_device, torch_dtype


class SentenceEncoder(Encoder):
    """A `SentenceTransformer` behind fixed batches."""

    def __init__(self, spec: EncoderSpec, model: Any = None) -> None:
        check_name(spec.name)
        self.spec = spec
        self.device = pick_device(spec.device)
        # Refused before the model is loaded, where this CPU only emulates it.
        dtype = torch_dtype(spec.dtype, self.device)
        limit_threads(spec.threads)
        self.model = model if model is not None else load_model(spec.name, self.device, dtype)
        opened = _opened if spec.content == "image" else None
        self.batches = Batches(self._forward, spec.batch_size, spec.name, opened, spec.threads)

    def identity(self) -> Identity:  # noqa: D102
        return Identity(
            "sentence-transformers",
            # A path differs between machines, and says nothing that the hashes do not.
            Path(self.spec.name).name if Path(self.spec.name).exists() else self.spec.name,
            state_sha256(self.model.state_dict()),
            self.spec.dtype,
            self._dimension(),
            self.spec.batch_size,
            self.device.split(":")[0],
            with_decoding(preprocessing_sha256(self.model), self.spec.content),
            limit.tokens if (limit := self.limit) is not None else None,
            "chunks" if limit is not None and self.spec.long_texts == "chunks" else None,
        )

    def _dimension(self) -> int:
        # Renamed in 5.x; the old name warns.
        for name in ("get_embedding_dimension", "get_sentence_embedding_dimension"):
            if callable(method := getattr(self.model, name, None)):
                with quiet():
                    return int(method() or len(self._probe()))
        return len(self._probe())

    def _probe(self) -> Any:
        return self._forward(["" if self.spec.content == "text" else decode(None)])[0]

    def encode(self, content: list[Any], reject: Any) -> np.ndarray:  # noqa: D102
        limit_threads(self.spec.threads)
        if self.spec.content == "text" and (limit := self.limit) and self.spec.long_texts == "chunks":
            return encode_whole(content, limit, self._run)
        if self.spec.content == "text":
            return self._run(content)
        return self.batches.run(encoded_images(content, reject, self.spec.max_image_pixels))

    def _run(self, texts: list[str]) -> np.ndarray:
        return self.batches.run(texts, [len(text) for text in texts])

    def truncated(self, content: list[Any]) -> np.ndarray | None:
        """Return the (n,) mask of the texts beyond the model's limit; None where it has none."""
        limit = self.limit
        if limit is not None and self.spec.long_texts == "chunks":
            return np.zeros(len(content), bool)
        return limit.exceeded(content) if limit is not None else None

    @property
    def limit(self) -> TokenLimit | None:
        """The model's limit, as it is set now."""
        return token_limit(self.model) if self.spec.content == "text" else None

    def clone_for_thread(self) -> Encoder:
        """Return an encoder that shares the weights: a tokenizer cannot be used by two threads at once."""
        shared = {id(tensor): tensor for tensor in [*self.model.parameters(), *self.model.buffers()]}
        return SentenceEncoder(self.spec, copy.deepcopy(self.model, shared))

    def _forward(self, inputs: list[Any]) -> np.ndarray:
        vectors = self.model.encode(
            inputs,
            batch_size=len(inputs),
            show_progress_bar=False,
            convert_to_tensor=True,
            normalize_embeddings=False,
        )
        return np.asarray(vectors.float().cpu().numpy(), np.float32)


def _opened(image: EncodedImage) -> Any:
    return image.open() or decode(None)


def preprocessing_sha256(model: Any) -> str:
    """Return the sha256 of what turns an example into tensors, and token vectors into one.

    Two models with the same weights differ by their pooling, their tokenizer, the length at which texts
    are cut, or a prompt put in front of them.
    """
    digest = hashlib.sha256()
    for module in model:
        config = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
        _update(digest, [type(module).__name__, config])
    processor = getattr(model, "tokenizer", None)
    for part in (processor, *(getattr(processor, name, None) for name in ("tokenizer", "image_processor"))):
        if part is not None:
            _update(digest, [type(part).__name__, _described(part)])
    names = ("max_seq_length", "prompts", "default_prompt_name", "truncate_dim")
    _update(digest, [getattr(model, name, None) for name in names])
    return digest.hexdigest()


def _described(processor: Any) -> Any:
    """The settings of a tokenizer or an image processor, as JSON values."""
    backend = getattr(processor, "backend_tokenizer", processor)
    if hasattr(backend, "to_str"):
        # Padding and truncation are state: each call sets them.
        return {**json.loads(backend.to_str()), "padding": None, "truncation": None}
    if hasattr(processor, "get_vocab"):
        return sorted(processor.get_vocab().items())
    return processor.to_dict() if hasattr(processor, "to_dict") else None


def _update(digest: Any, values: list[Any]) -> None:
    # The name of what JSON does not know: the text of an object may hold its address.
    text = json.dumps(values, sort_keys=True, default=lambda value: type(value).__name__)
    digest.update(text.encode() + b"\n")
