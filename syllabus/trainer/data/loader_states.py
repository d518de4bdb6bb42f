"""The state of a sampler or a stream inside the state of the loader that iterates it.

A stateful loader (torchdata's, and what Lightning or accelerate save of it) keeps, beside much of its own,
what the sampler, or the stream in each worker, said when the last batch that was *used* was drawn: its
position, without what was only fetched ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from syllabus.trainer.errors import TrainerError
from syllabus.trainer.states import equal, mapping
from syllabus.trainer.validation import whole

REPLAYED = "_steps_since_snapshot"  # torchdata's: batches given out since the state was taken
FINISHED = "_iterator_finished"  # torchdata's: its loop has ended


def sampler_state(state: Any) -> dict[str, Any]:
    """Return the state of a ManifestSampler that is, or lies inside, `state`.

    Raises:
        TrainerError: there is none, there are several that differ, or the loader was ahead of it.
    """
    found = _inside(state, "global_examples", "ManifestSampler")
    if not all(equal(part, found[0]) for part in found[1:]):
        raise TrainerError("load_state_dict: there are states of several ManifestSamplers inside")
    return found[0]


def stream_states(state: Any) -> tuple[list[dict[str, Any]], bool]:
    """Return the states of a ManifestStream that are, or lie inside, `state`, and whether the epoch was over.

    There is one of each worker. The epoch is over where the stream said so, or where the loader had said so
    to its loop: a loader whose last batch was short knows the end, and has still to say it.

    Raises:
        TrainerError: there is none, or the loader was ahead of it.
    """
    found = _inside(state, "history", "ManifestStream")
    if found[0] is state:
        return found, bool(equal(state.get("ended"), True))
    return found, any(equal(part.get(FINISHED), True) for part in _dictionaries(state))


def _inside(state: Any, key: str, kind: str) -> list[dict[str, Any]]:
    """Return the parts of `state` that have `key`; itself, where it has."""
    if key in mapping("load_state_dict", "the state", state):
        return [state]
    inside = list(_dictionaries(state))
    steps = [part.get(REPLAYED, 0) for part in inside]
    behind = max((whole("load_state_dict", REPLAYED, count, 0) for count in steps), default=0)
    if behind:
        raise TrainerError(
            f"load_state_dict: the loader's state is {behind} batches behind what it gave out; make the "
            "loader with snapshot_every_n_steps=1, or load the state into it with the same num_workers"
        )
    found = [part for part in inside if key in part]
    if not found:
        raise TrainerError(f"load_state_dict: there is no state of a {kind} inside")
    return found


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the dicts in it, each once, however deep they lie."""
    waiting, seen = [value], set()
    while waiting:
        part = waiting.pop()
        if not isinstance(part, (dict, list, tuple)) or id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            yield part
            part = list(part.values())
        waiting += reversed(part)
