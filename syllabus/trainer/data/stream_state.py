"""The state of a stream: its entries, and whether they can be of one epoch."""

from __future__ import annotations

from typing import Any

from syllabus.trainer.curriculum import Curriculum
from syllabus.trainer.data.intervals import even, left, length
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.states import boolean, differences, entries, equal, integer, row, several

STATE_VERSION = 2  # 1 had shares of ranks that differed by one
LOAD = "ManifestStream.load_state_dict"
PARTS = 2**16  # ranks, or workers of one, at most
FIELDS = {
    "epoch": integer(),
    "history": several(row(integer(1, PARTS), integer(1))),
    "ranks": integer(1, PARTS),
    "workers": integer(1, PARTS),
    "given": integer(),
    "ended": boolean,
}


def check_stream_states(
    states: list[dict[str, Any]],
    over: bool,
    identity: dict[str, Any],
    curriculum: Curriculum,
    drop_last: bool,
) -> dict[str, Any]:
    """Return the first of the workers' states of one stream, each sound and made for what `identity` says.

    Args:
        states: of the workers, or the one of a loop without.
        over: whether the loop over the epoch had ended.
        identity: what the states must have been made for.
        curriculum: of the stream.
        drop_last: the stream's.

    Raises:
        TrainerError: an entry is missing or out of bounds, or they do not agree.
    """
    checked = [_checked(state, identity, curriculum, drop_last) for state in states]
    first = checked[0]
    if any({**one, "given": 0, "ended": 0} != {**first, "given": 0, "ended": 0} for one in checked):
        raise TrainerError(f"{LOAD}: there are states of several ManifestStreams inside")
    if first["epoch"] + over > curriculum.epochs:
        raise TrainerError(f"{LOAD}: epoch={first['epoch']} has ended, and there are no more of them")
    return first


def _checked(
    state: dict[str, Any], identity: dict[str, Any], curriculum: Curriculum, drop_last: bool
) -> dict[str, Any]:
    found = entries(LOAD, state, FIELDS)
    history, ranks, workers, given = (found[name] for name in ("history", "ranks", "workers", "given"))
    version = state.get("version")
    dropped = equal(state.get("drop_last"), True)
    if equal(version, 1) and (dropped or {ranks, *(parts for parts, _ in history)} == {1}):
        version = STATE_VERSION  # these shares are as they were
    if wrong := differences({**state, "version": version}, identity):
        raise TrainerError(f"{LOAD}: {wrong}")
    epoch, epochs = found["epoch"], curriculum.epochs
    if epoch > epochs:
        raise TrainerError(f"{LOAD}: epoch={epoch} is outside [0, epochs={epochs}]")
    count = curriculum.count(epoch) if epoch < epochs else 0
    rest = [(0, count)]
    for parts, before in history:
        most = _each(rest, parts, count, drop_last)
        if before > most:
            raise TrainerError(
                f"{LOAD}: history: {before} rows were given by each of {parts} ranks, which had {most}"
            )
        rest = left(rest, [(parts, before)], count, drop_last)
    most = _each(rest, ranks, count, drop_last)
    if given > -(-most // workers):
        raise TrainerError(f"{LOAD}: given={given} of the {most} rows of {workers} workers")
    if found["ended"] and given < most // workers:
        raise TrainerError(f"{LOAD}: ended, with given={given} of the {most} rows of {workers} workers")
    return found


def _each(rest: list[tuple[int, int]], parts: int, count: int, drop_last: bool) -> int:
    """Return how many of the rows at these positions each of `parts` ranks has."""
    return length(even(rest, parts, count, drop_last)) // parts
