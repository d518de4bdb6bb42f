"""The state of GraB: its entries, and whether they can be of one place in one cycle."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ordering.cycles import Cycles
from syllabus.trainer.ordering.order_server import OrderServer
from syllabus.trainer.states import (
    Field,
    boolean,
    differences,
    entries,
    equal,
    integer,
    mapping,
    number,
    optional,
    row,
    tensor,
)
from syllabus.trainer.validation import kind_of

LOAD = "GraB.load_state_dict"


def check_grab_state(
    state: Any, identity: dict[str, Any], cycles: Cycles, unit: int, balance: str
) -> dict[str, Any]:
    """Return the entries of a state, each sound, all of one place in a cycle.

    Args:
        state: to be loaded.
        identity: what it must have been made for.
        cycles: of the curriculum.
        unit: examples that are ordered as one.
        balance: the name of the balancer.

    Raises:
        TrainerError: it was made for something else, or an entry is missing, out of bounds, or of another
            place than the others.

    Cost: O(n log n).
    """
    state = mapping(LOAD, "the state", state)
    older = next((old for old in (1, 2) if equal(state.get("version"), old)), None)
    if older is not None:  # as it is now, but for how features were sketched
        state = {**state, "version": identity["version"]}
    curriculum = mapping(LOAD, "curriculum", state.get("curriculum"))
    outer = {name: value for name, value in identity.items() if name != "curriculum"}
    if wrong := differences(state, outer) or differences(curriculum, identity["curriculum"]):
        raise TrainerError(f"{LOAD}: {wrong}")
    fields = {"epoch": integer(-1, cycles.curriculum.epochs - 1), "stepped": boolean}
    found = entries(LOAD, state, {**fields, "width": optional(integer(1))})
    epoch = found["epoch"]
    members = np.empty(0, np.int64) if epoch < 0 else cycles.members(epoch)
    cycle = -1 if epoch < 0 else cycles.of(epoch)[0]
    places, width = len(members) // unit, found["width"]
    count = 0 if epoch < 0 else cycles.curriculum.count(epoch)
    found |= entries(
        LOAD,
        state,
        {
            "cycle": integer(cycle, cycle),
            "place": integer(0, count),
            "order": tensor((len(members),), torch.int64),
            "following": row(tensor((places,), torch.int64), integer(0, places), integer(0, places)),
            "seen": tensor((places,), torch.bool),
            "balancer": mapping,
        },
    )
    if not np.array_equal(np.sort(found["order"].cpu().numpy()), members):
        raise TrainerError(f"{LOAD}: order is no permutation of the {len(members)} examples of epoch {epoch}")
    found["order"], seen = found["order"].cpu(), found["seen"].cpu().numpy()
    begun = found["stepped"] or (epoch > 0 and cycles.of(epoch - 1)[0] == cycle)
    if seen.any() and not begun:
        raise TrainerError(f"{LOAD}: seen: groups of cycle {cycle} were walked, in which no step was taken")
    if width is None and (seen.any() or found["stepped"]):
        raise TrainerError(f"{LOAD}: width is None, after a step was taken")
    if epoch < 0 and width is not None:
        raise TrainerError(f"{LOAD}: width={width}, before an epoch has begun")
    if epoch < 0:
        return {**found, "balancer": OrderServer(balance, 0).state_dict()["balancer"]}
    placed = _placed(found["following"], places)
    if not seen[placed].all():
        raise TrainerError(f"{LOAD}: following: places groups that were not seen")
    paired = balance in ("kernel-halving", "pair")
    if paired and found["following"][1] + found["following"][2] != places:
        raise TrainerError(f"{LOAD}: following: of each pair one group is in front and one behind")
    found["balancer"] = _balancer(found["balancer"], balance, width, seen, placed)
    if older is None or width is None:
        return found
    warnings.warn(
        f"{LOAD}: a state of version {older}: features may have been sketched otherwise, in sums of the same"
        " width; the order goes on, and the sums begin anew",
        stacklevel=3,
    )
    return _without_sums(found, balance)


def _without_sums(state: dict[str, Any], balance: str) -> dict[str, Any]:
    """Return a sound state without what is summed or kept of features: none of two sketches meet."""
    balancer, seen = dict(state["balancer"]), state["seen"].cpu().clone()
    if balance == "greedy":
        if not seen.all():  # else the cycle is walked, and its order follows from features of one sketch
            balancer["rows"], seen[:] = torch.empty(0, 0), False
        return {**state, "balancer": balancer, "seen": seen}
    if balancer.get("held") is not None:  # it keeps its rank
        seen[balancer["held"][0]], balancer["held"] = False, None
    for name in {"position", "mean", "total"} & set(balancer):
        if balancer[name] is not None:
            balancer[name] = torch.zeros_like(balancer[name])
    return {**state, "balancer": balancer, "seen": seen}


def _placed(following: list[Any], places: int) -> np.ndarray:
    """Return which groups have a place in the next order."""
    order, front, back = following[0].cpu().numpy(), following[1], following[2]
    if front > back:
        raise TrainerError(f"{LOAD}: following: front={front} is above back={back}")
    placed = np.concatenate([order[:front], order[back:]])
    if len(placed) and not 0 <= placed.min() <= placed.max() < places:
        raise TrainerError(f"{LOAD}: following: a group is outside [0, {places})")
    if len(np.unique(placed)) < len(placed):
        raise TrainerError(f"{LOAD}: following: a group has two places")
    return placed


def _balancer(
    state: dict[str, Any], balance: str, width: int | None, seen: np.ndarray, placed: np.ndarray
) -> dict[str, Any]:
    """Return the entries of the balancer's state, which fit the groups seen and placed."""
    groups, walked = len(seen), int(seen.sum())
    vector = _none if width is None else optional(tensor((width,), torch.float64))
    if balance == "greedy":
        rows = state.get("rows")
        kept = walked or (isinstance(rows, torch.Tensor) and rows.numel())
        shape = (groups, width) if kept else (0, 0)
        found = entries(LOAD, state, {"rows": tensor(shape, torch.float32)}, "balancer")
    elif balance == "mean":
        fields = {"position": vector, "mean": vector, "total": vector, "count": integer(walked, walked)}
        found = entries(LOAD, state, fields, "balancer")
        if len({found[name] is None for name in ("position", "mean", "total")}) > 1:
            raise TrainerError(f"{LOAD}: balancer: position, mean and total come together")
    else:
        pairs = len(placed) // 2
        halving = (
            row(number(0), integer(pairs, pairs)) if balance == "kernel-halving" and groups > 1 else _none
        )
        fields = {"position": vector, "held": optional(_held(groups, width)), "halving": halving}
        found = entries(LOAD, state, fields, "balancer")
        if found["held"] is not None:
            held = found["held"][0]
            if not seen[held] or held in placed:
                raise TrainerError(
                    f"{LOAD}: balancer.held: group {held} was not seen, or has a place already"
                )
            walked -= 1
    if balance != "greedy" and walked and found["position"] is None:
        raise TrainerError(f"{LOAD}: balancer.position is None, after {walked} groups were walked")
    if len(placed) != (0 if balance == "greedy" else walked):
        raise TrainerError(f"{LOAD}: following has {len(placed)} places; {walked} groups were walked")
    return found


def _held(groups: int, width: int | None) -> Field:
    """A group that waits for its partner: its number, and its vector or the factors of it."""
    group, floats = integer(0, groups - 1), (torch.float32, torch.float64)
    dense = row(group, tensor((1, width), torch.float32))
    factors = row(group, tensor((1, None), torch.float64), tensor((1, None), *floats), boolean)

    def check(where: str, name: str, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)) or len(value) != 4:
            return dense(where, name, value)
        found = factors(where, name, value)
        product = found[1].shape[1] * (found[2].shape[1] + found[3])
        if product != width:
            raise TrainerError(f"{where}: {name} has factors of width {product}; expected {width}")
        return found

    return check


def _none(where: str, name: str, value: Any) -> None:
    """Nothing."""
    if value is not None:
        raise TrainerError(f"{where}: {name} is a {kind_of(value)}; expected None")
