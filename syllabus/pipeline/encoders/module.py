"""Any torch module, by ``package.module:factory``.

The factory returns ``(module, preprocess)``: `preprocess` turns one example (text, or a PIL image) into a
tensor, `module` maps a batch of them, stacked, to (b, d). It is called twice by the plan: two
constructions that differ, such as random weights, are an error, since no other worker could repeat them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from syllabus.pipeline.encoders.base import Encoder, EncoderSpec, Identity, state_sha256
from syllabus.pipeline.encoders.batches import Batches
from syllabus.pipeline.encoders.devices import pick_device, torch_dtype
from syllabus.pipeline.encoders.pictures import decode
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.threads import limit_threads


class ModuleEncoder(Encoder):
    """A torch module with its preprocessing."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec
        self.device = pick_device(spec.device)
        limit_threads(spec.threads)
        self.dtype = torch_dtype(spec.dtype, self.device)
        module, self.preprocess = _construct(spec.name)
        self.module = module.to(self.device, self.dtype).eval()
        self.batches = Batches(self._forward, spec.batch_size)

    def identity(self) -> Identity:  # noqa: D102
        weights = state_sha256(self.module.state_dict())
        again, _ = _construct(self.spec.name)
        if state_sha256(again.to(self.device, self.dtype).state_dict()) != weights:
            raise UserError(
                f"encoder {self.spec.name!r}: two constructions have different weights;"
                " load them from a file or seed the factory"
            )
        example = "a" if self.spec.content == "text" else None
        dimension = self._forward([self._tensor(example)]).shape[1]
        return Identity(
            "module",
            self.spec.name,
            weights,
            self.spec.dtype,
            dimension,
            self.spec.batch_size,
            self.device.split(":")[0],
        )

    def encode(self, content: list[Any], reject: Any) -> np.ndarray:  # noqa: D102
        limit_threads(self.spec.threads)
        return self.batches.run([(row, item, reject) for row, item in enumerate(content)])

    def _forward(self, batch: list[Any]) -> np.ndarray:
        import torch

        inputs = torch.stack([self._open(*item) if isinstance(item, tuple) else item for item in batch])
        with torch.inference_mode():
            vectors = self.module(inputs.to(self.device, self.dtype if inputs.is_floating_point() else None))
        if vectors.ndim != 2:
            raise UserError(
                f"encoder {self.spec.name!r}: gives shape {tuple(vectors.shape)}; expected (batch, d)"
            )
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def _open(self, row: int, item: Any, reject: Any) -> Any:
        if self.spec.content == "text":
            return self._tensor(item)
        try:
            return self._tensor(item)
        except (OSError, ValueError, SyntaxError) as error:
            reject(row, "unreadable image", str(error))
            return self._tensor(None)

    def _tensor(self, item: Any) -> Any:
        return self.preprocess(item if self.spec.content == "text" else decode(item))


def _construct(name: str) -> tuple[Any, Callable[[Any], Any]]:
    path, _, attribute = name.partition(":")
    try:
        factory = getattr(importlib.import_module(path), attribute)
    except ImportError as error:
        raise UserError(f"encoder {name!r}: cannot import {path!r}: {error}") from None
    except AttributeError:
        raise UserError(f"encoder {name!r}: module {path!r} has no {attribute!r}") from None
    made = factory()
    if not (isinstance(made, tuple) and len(made) == 2 and callable(made[1])):
        raise UserError(
            f"encoder {name!r}: the factory returned {type(made).__name__}; expected (module, preprocess)"
        )
    return made
