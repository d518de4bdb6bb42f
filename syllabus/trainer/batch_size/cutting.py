"""A loader's batches, cut anew: joined and divided to whatever number of examples is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from syllabus.trainer.errors import TrainerError


class Cutter:
    """The examples of a loader in their order, in pieces of any size; reads no more than one batch ahead.

    A batch that is asked for whole goes through untouched, whatever it is made of. Those that must be joined
    or divided consist of tensors whose first dimension is the example, and of lists of texts or numbers, one
    an example, in tuples, lists and mappings.

    Args:
        loader: yields batches.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self._source = iter(loader)
        self._held: deque[tuple[Any, int]] = deque()
        self._count = 0

    def more_than(self, count: int) -> bool:
        """Return whether more than `count` examples are left; reads as far as it takes to know that."""
        while self._count <= count:
            try:
                batch = next(self._source)
            except StopIteration:
                return False
            size = examples_in(batch)
            if size:
                self._held.append((batch, size))
                self._count += size
        return True

    def take(self, count: int) -> tuple[Any, int]:
        """Return up to `count` examples as one batch, and how many they are: fewer only at the end."""
        self.more_than(count - 1)
        if self._held and self._held[0][1] == count:  # as in plain training
            self._count -= count
            return self._held.popleft()
        parts: list[Any] = []
        missing = min(count, self._count)
        taken = missing
        while missing:
            batch, size = self._held.popleft()
            if size > missing:
                self._held.appendleft((_part(batch, missing, size), size - missing))
                batch, size = _part(batch, 0, missing), missing
            parts.append(batch)
            missing -= size
        self._count -= taken
        return (parts[0] if len(parts) == 1 else _joined(parts)), taken


def examples_in(batch: Any) -> int:
    """Return how many examples a batch has: the length of its first tensor, or of its first list of values.

    Raises:
        TrainerError: nothing in it says so.
    """
    if type(batch) in (tuple, list) and batch and isinstance(batch[0], torch.Tensor):
        batch = batch[0]  # what nearly every loader yields, told without the slower questions below
    if isinstance(batch, torch.Tensor):
        if not batch.ndim:
            raise TrainerError(
                "batch sizes: a batch begins with a tensor of no dimension; expected one row an example"
            )
        return batch.shape[0]
    if isinstance(batch, Mapping) and batch:
        return examples_in(next(iter(batch.values())))
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)) and batch:
        return len(batch) if _are_values(batch) else examples_in(batch[0])
    if hasattr(batch, "__len__") and not isinstance(batch, (str, bytes, Mapping, Sequence)):
        return len(batch)
    raise TrainerError(
        f"batch sizes: a batch of type {type(batch).__name__} does not say how many examples it has"
    )


def _are_values(batch: Sequence[Any]) -> bool:
    """Whether a sequence holds one text or number an example, not one field after the other."""
    return all(isinstance(item, (str, bytes, int, float, bool)) for item in batch)


def _part(batch: Any, first: int, last: int) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch[first:last]
    if isinstance(batch, Mapping):
        return _mapping(batch, {name: _part(field, first, last) for name, field in batch.items()})
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        if _are_values(batch):
            return batch[first:last]
        return _sequence(batch, [_part(field, first, last) for field in batch])
    raise TrainerError(
        f"batch sizes: {_what(batch)} cannot be divided; give sizes that are multiples of the loader's"
    )


def _joined(batches: list[Any]) -> Any:
    batch = batches[0]
    if isinstance(batch, torch.Tensor):
        shapes = {tuple(part.shape[1:]) for part in batches}
        if len(shapes) > 1:
            found = " and ".join(map(str, sorted(shapes)))
            raise TrainerError(
                f"batch sizes: examples of shapes {found} cannot be joined; pad to one length, or give the"
                " loader's batch size as microbatch"
            )
        return torch.cat(batches)
    if isinstance(batch, Mapping):
        return _mapping(batch, {name: _joined([part[name] for part in batches]) for name in batch})
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        if _are_values(batch):
            return [item for part in batches for item in part]
        return _sequence(batch, [_joined(list(fields)) for fields in zip(*batches, strict=True)])
    raise TrainerError(
        f"batch sizes: {_what(batch)} cannot be joined; give the loader's batch size as microbatch"
    )


def _what(batch: Any) -> str:
    return f"a batch with a {type(batch).__name__}"


def _mapping(like: Any, fields: dict[str, Any]) -> Any:
    return fields if type(like) is dict else type(like)(fields)


def _sequence(like: Any, fields: list[Any]) -> Any:
    return type(like)(*fields) if hasattr(like, "_fields") else type(like)(fields)
