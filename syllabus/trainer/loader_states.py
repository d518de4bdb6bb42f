"""A sampler's state inside the state of the loader that iterates it.

A stateful loader (torchdata's, and what Lightning or accelerate save of it) keeps, beside much of its own,
what the sampler said when the last batch that was *used* was drawn: its position, without what was only
fetched ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from syllabus.trainer.errors import TrainerError

REPLAYED = "_steps_since_snapshot"  # torchdata's: batches given out since the state was taken


def sampler_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a ManifestSampler that is, or lies inside, `state`.

    Raises:
        TrainerError: there is none, there are several that differ, or the loader was ahead of it.
    """
    if "global_examples" in state:
        return state
    inside = list(_dictionaries(state))
    behind = max((int(part.get(REPLAYED, 0)) for part in inside), default=0)
    if behind:
        raise TrainerError(
            f"load_state_dict: the loader's state is {behind} batches behind what it gave out; make the "
            "loader with snapshot_every_n_steps=1, or load the state into it with the same num_workers"
        )
    found = [part for part in inside if "global_examples" in part]
    if not found:
        raise TrainerError("load_state_dict: there is no state of a ManifestSampler inside")
    if any(part != found[0] for part in found):
        raise TrainerError("load_state_dict: there are states of several ManifestSamplers inside")
    return found[0]


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _dictionaries(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _dictionaries(part)
