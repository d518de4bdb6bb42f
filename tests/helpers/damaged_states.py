"""States with one entry that is missing or is something else, which a class must refuse or live with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from syllabus.trainer import TrainerError

OTHERS = [
    None, True, -1, 10**18, 10**30, 0.5, float("nan"), "text", [], {}, [0], {"a": 1}, torch.zeros(2),
    torch.tensor(7777),
]  # fmt: skip


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where its entries lie, those of dicts and lists in it included."""
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in named:
        yield (*before, name)
        yield from paths(part, (*before, name))


def damaged(state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a name and a state with one entry that was taken out, or changed for something else."""
    for path in paths(state):
        *above, last = path
        for other in ["taken out", *OTHERS, "resized", "negated"]:
            changed = copy.deepcopy(state)
            inside = changed
            for name in above:
                inside = inside[name]
            value = inside[last]
            if other == "taken out":
                del inside[last]
            elif other == "resized":
                if not isinstance(value, (torch.Tensor, list)) or not len(value):
                    continue
                inside[last] = value[:-1]
            elif other == "negated":
                if not isinstance(value, torch.Tensor) or value.dtype == torch.bool:
                    continue
                inside[last] = -1 - value
            elif repr(value) == repr(other):
                continue
            else:
                inside[last] = copy.deepcopy(other)
            yield f"{path}: {other!r}", changed


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, tensors by their values."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return type(one) is type(other) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def check_refusals(target: Any, state: dict[str, Any]) -> list[str]:
    """Load every damaged form of `state` into `target`, which is in that state; return which were taken.

    What is refused is refused in one line, and leaves the target as it was.
    """
    target.load_state_dict(state)
    before = copy.deepcopy(target.state_dict())
    taken = []
    for name, changed in damaged(state):
        error = None
        try:
            target.load_state_dict(changed)
        except TrainerError as raised:
            error = raised
        except Exception as raised:
            pytest.fail(f"{name}: {type(raised).__name__}: {raised}")
        if error is None:
            taken.append(name)
            target.load_state_dict(state)
            continue
        assert "\n" not in str(error), name
        assert len(str(error)) < 500, name
        assert same(target.state_dict(), before), name
    return taken
