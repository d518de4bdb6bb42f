"""The state of a sampler or a stream inside the state of the loader that iterates it.

A stateful loader (torchdata's, and what Lightning or accelerate save of it) keeps, beside much of its own,
what the sampler, or the stream in each worker, said when the last batch that was *used* was drawn: its
position, without what was only fetched ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from syllabus.trainer.errors import TrainerError

REPLAYED = "_steps_since_snapshot"  # torchdata's: batches given out since the state was taken
FINISHED = "_iterator_finished"  # torchdata's: its loop has ended
ONLY_WEIGHTED = ("unit", "total")  # in states of curricula whose budgets count the units of a column


def sampler_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a ManifestSampler that is, or lies inside, `state`.

    Raises:
        TrainerError: there is none, there are several that differ, or the loader was ahead of it.
    """
    found = _inside(state, "global_examples", "ManifestSampler")
    if any(part != found[0] for part in found):
        raise TrainerError("load_state_dict: there are states of several ManifestSamplers inside")
    return found[0]


def stream_states(state: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return the states of a ManifestStream that are, or lie inside, `state`, and whether the epoch was over.

    There is one of each worker. The epoch is over where the stream said so, or where the loader had said so
    to its loop: a loader whose last batch was short knows the end, and has still to say it.

    Raises:
        TrainerError: there is none, or the loader was ahead of it.
    """
    found = _inside(state, "history", "ManifestStream")
    if found[0] is state:
        return found, state["ended"]
    return found, any(part.get(FINISHED) for part in _dictionaries(state))


def differences(state: dict[str, Any], here: dict[str, Any]) -> str:
    """Return what a state was made for that is not as `here`; empty where all is."""
    expected = {**dict.fromkeys(ONLY_WEIGHTED), **here}
    return "; ".join(
        f"{name} is {state.get(name)!r} in the state and {value!r} here"
        for name, value in expected.items()
        if state.get(name) != value
    )


def _inside(state: dict[str, Any], key: str, kind: str) -> list[dict[str, Any]]:
    """Return the parts of `state` that have `key`; itself, where it has."""
    if key in state:
        return [state]
    inside = list(_dictionaries(state))
    behind = max((int(part.get(REPLAYED, 0)) for part in inside), default=0)
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
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _dictionaries(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _dictionaries(part)
