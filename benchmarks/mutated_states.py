"""Random changes of states, which are nested dicts and lists of tensors and plain values."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 10**9, 2**63, 10**30, 0.5, -0.0, 1e300, math.nan, math.inf, "",
    "text", b"x",    [], {}, [0, 1], {"a": 1}, torch.zeros(2), torch.tensor(3), torch.tensor([math.nan]),
    torch.zeros(2, 2).to_sparse(),
]  # fmt: skip


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the entries of a state lie."""
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in named:
        yield (*before, name)
        # Of a long list (a generator's 625 words) a few stand for all.
        if not (isinstance(value, list) and name > 4):
            yield from places(part, (*before, name))


def changed(value: Any, random: np.random.Generator) -> Any:
    """Return something else, mostly of the same kind."""
    if isinstance(value, torch.Tensor) and value.numel() and random.random() < 0.8:
        flat = value.clone().flatten()
        at = int(random.integers(len(flat)))
        ways: list[Callable[[], Any]] = [
            lambda: value.flatten()[:-1],
            lambda: torch.cat([flat, flat[:1]]),
            lambda: flat[torch.from_numpy(random.permutation(len(flat)))].view_as(value),
            lambda: flat.index_fill(0, torch.tensor([at]), flat[0]).view_as(value),
            lambda: value.double() if value.dtype != torch.float64 else value.float(),
            lambda: value[None],
        ]
        if value.dtype != torch.bool:
            big = math.nan if value.is_floating_point() else torch.iinfo(value.dtype).max
            ways.append(lambda: flat.index_fill(0, torch.tensor([at]), big).view_as(value))
        return ways[random.integers(len(ways))]()
    if isinstance(value, bool) and random.random() < 0.5:
        return not value
    if isinstance(value, int) and not isinstance(value, bool) and random.random() < 0.5:
        return int(value + random.integers(-3, 4))
    if isinstance(value, float) and random.random() < 0.3:
        return value * float(random.normal())
    if isinstance(value, list) and value and random.random() < 0.6:
        return [value[:-1], [*value, value[0]], value[::-1], value * 3][random.integers(4)]
    return copy.deepcopy(VALUES[random.integers(len(VALUES))])


def mutated(
    state: dict[str, Any], others: list[dict[str, Any]], random: np.random.Generator
) -> tuple[Any, str]:
    """Return a state with one to three entries that are something else, and which."""
    if random.random() < 0.03:
        return copy.deepcopy(VALUES[random.integers(len(VALUES))]), "all of it"
    state, said = copy.deepcopy(state), []
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        every = list(places(state))
        if not every:
            break
        *above, last = every[random.integers(len(every))]
        inside: Any = state
        for name in above:
            inside = inside[name]
        said.append("/".join(map(str, [*above, last])))
        how = random.random()
        if how < 0.15:
            del inside[last]
        elif how < 0.25 and not above:
            inside[last] = copy.deepcopy(others[random.integers(len(others))].get(last))
        else:
            inside[last] = changed(inside[last], random)
    return state, ", ".join(said)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return type(one) is type(other) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)
