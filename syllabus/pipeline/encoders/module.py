"""Torch modules as encoders, by ``package.module:factory``.

The factory returns ``(module, preprocess)``: `preprocess` turns one example (text, or a PIL image) into a
tensor, `module` maps a batch of them, stacked, to (b, d). It is called twice by the plan: two
constructions that differ, such as random weights, are an error, since no other worker could repeat them.
`preprocess` is called by threads beside the one that runs `module`, for the batch that comes next.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity, state_sha256, with_decoding
from syllabus.pipeline.encoders.batches import Batches
from syllabus.pipeline.encoders.factories import construct, line_of
from syllabus.pipeline.encoders.images import EncodedImage, decode, encoded_images
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.runtime.torch_setup import limit_threads, pick_device, torch_dtype


class ModuleEncoder(Encoder):
    """A torch module with its preprocessing."""

    def __init__(self, spec: EncoderSpec, made: tuple[Any, Any] | None = None) -> None:
        self.spec = spec
        self.device = pick_device(spec.device)
        self.dtype = torch_dtype(spec.dtype, self.device)
        limit_threads(spec.threads)
        self.module, self.preprocess = made if made is not None else self._construct()
        self.batches = Batches(self._forward, spec.batch_size, spec.name, self._tensor, spec.threads)

    def clone_for_thread(self) -> Encoder:
        """Return an encoder with the same module, and a count of its own."""
        return ModuleEncoder(self.spec, (self.module, self.preprocess))

    def _construct(self) -> tuple[Any, Any]:
        module, preprocess = construct(self.spec.name, self.spec.directory)
        return module.to(self.device, self.dtype).eval(), preprocess

    def identity(self) -> Identity:  # noqa: D102
        weights = state_sha256(self.module.state_dict())
        again, _ = self._construct()
        if state_sha256(again.state_dict()) != weights:
            raise UserError(
                f"encoder {self.spec.name!r}: two constructions have different weights;"
                " load them from a file or seed the factory"
            )
        example = "a" if self.spec.content == "text" else decode(None)
        try:
            dimension = self._forward([self._tensor(example)]).shape[1]
        except UserError:
            raise
        except Exception as error:  # the module's own
            raise self._wrong(f"fails on a first example: {line_of(error)}") from None
        return Identity(
            "module",
            self.spec.name,
            weights,
            self.spec.dtype,
            dimension,
            self.spec.batch_size,
            self.device.split(":")[0],
            with_decoding(source_sha256(self.spec.name, self.preprocess), self.spec.content),
        )

    def encode(self, content: list[Any], reject: Any) -> np.ndarray:  # noqa: D102
        limit_threads(self.spec.threads)
        if self.spec.content == "text":
            return self.batches.run(content)
        return self.batches.run(encoded_images(content, reject, self.spec.max_image_pixels))

    def _forward(self, made: list[Any]) -> np.ndarray:
        import torch

        # Another picture stands in for a broken one: the grey one has a size of its own.
        other = next((tensor for tensor in made if tensor is not None), None)
        if other is None:
            other = self._tensor(decode(None))
        tensors = [other if tensor is None else tensor for tensor in made]
        shapes = sorted({tuple(tensor.shape) for tensor in tensors})
        if len(shapes) > 1:
            raise self._wrong(f"preprocess gives shapes {shapes[0]} and {shapes[1]}; expected one")
        inputs = torch.stack(tensors)
        with torch.inference_mode():
            vectors = self.module(inputs.to(self.device, self.dtype if inputs.is_floating_point() else None))
        if not isinstance(vectors, torch.Tensor):
            raise self._wrong(f"gives {type(vectors).__name__}; expected a tensor of shape (batch, d)")
        if vectors.ndim != 2 or len(vectors) != len(made):
            raise self._wrong(f"gives shape {tuple(vectors.shape)}; expected ({len(made)}, d)")
        if vectors.is_complex():  # a cast would drop the imaginary parts
            raise self._wrong(f"gives {vectors.dtype}; expected real numbers")
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def _tensor(self, item: Any) -> Any:
        """Return what the module is given; None for a broken picture, which is rejected."""
        import torch

        if isinstance(item, EncodedImage):
            item = item.open()
            if item is None:
                return None
        tensor = self.preprocess(item)
        if not isinstance(tensor, torch.Tensor):
            raise self._wrong(f"preprocess gives {type(tensor).__name__}; expected a tensor")
        return tensor

    def _wrong(self, what: str) -> UserError:
        return UserError(f"encoder {self.spec.name!r}: {what}")


def source_sha256(name: str, preprocess: Any) -> str | None:
    """Return the sha256 of the sources of factory and preprocessing: edited, they make other vectors.

    These are the files of the module named, and of those that define the two; not what they import in turn.
    """
    path, _, attribute = name.partition(":")
    module = importlib.import_module(path)
    factory = getattr(module, attribute)
    named = {path, getattr(factory, "__module__", path), getattr(preprocess, "__module__", path)}
    files = {getattr(sys.modules.get(each), "__file__", None) for each in named}
    found = sorted(file for file in files if file is not None and Path(file).is_file())
    contents = sorted(hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in found)
    return hashlib.sha256("".join(contents).encode()).hexdigest() if contents else None
