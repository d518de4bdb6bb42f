"""Damaged states of GraB: refused in one line, with nothing loaded."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from damaged_states import check_refusals
from grab_runs import BALANCES, features, make

from syllabus.selectors.balancing.vectors import OuterProducts
from syllabus.trainer import GraB, TrainerError


def begun(balance: str, factors: bool = False, unit: int = 1, steps: int = 7):
    """In mid-epoch, in the second cycle, with a group that waits for its partner where there are pairs."""
    sampler, grab = make(23, 1.0, grab=GraB(balance, unit=unit))
    known = features(23, 6)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        iterator = iter(sampler)
        for _ in range(steps):
            rows = [next(iterator) for _ in range(unit)]
            block = known[rows[:1]]
            grab.step(OuterProducts(block[:, :2], block[:, 2:4]) if factors else block)
    return sampler, grab


@pytest.mark.parametrize(("balance", "factors"), [("pair", True), *((name, False) for name in BALANCES)])
def test_nothing_but_what_an_epoch_can_have_is_loaded(balance, factors):
    _, grab = begun(balance, factors)
    taken = check_refusals(grab, grab.state_dict())
    # Other values that an epoch can have, vectors of other gradients, places that greedy uses later.
    loose = ["place", "stepped", r"balancer'?, 'halving'?, 0", "balancer'?, '(position|mean|total|rows)"]
    loose += [r"balancer'?, 'held'?, [12]", *(["following'?, 0"] if balance == "greedy" else [])]
    assert [name for name in taken if not re.match(rf"\('({'|'.join(loose)})'?[,)]", name)] == []


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("balance", BALANCES)
def test_a_state_of_an_older_version_is_taken_without_sums_of_other_sketches(balance, version):
    _, grab = begun(balance)
    _, other = make(23, 1.0, grab=GraB(balance))
    before, state = grab.state_dict(), changed(grab, version=version)
    with pytest.warns(UserWarning, match=f"a state of version {version}: .* the sums begin anew"):
        other.load_state_dict(state)
    after = other.state_dict()
    assert torch.equal(after["order"], before["order"])
    assert (after["place"], after["width"]) == (before["place"], before["width"])
    if balance != "greedy":  # the next order, as far as it was known
        assert torch.equal(after["following"][0], before["following"][0])
        assert after["following"][1:] == before["following"][1:]
    left = [after["balancer"].get(name) for name in ("position", "mean", "total", "held")]
    assert all(part is None or not part.any() for part in left)
    assert not after["balancer"].get("rows", torch.empty(0)).numel()
    assert state["seen"].equal(before["seen"])  # what was given is as it was
    _, third = make(23, 1.0, grab=GraB(balance))
    third.load_state_dict(after)  # what is left is sound
    assert third._server.digest() == other._server.digest()


@pytest.mark.parametrize("balance", BALANCES)
def test_the_next_order_of_a_whole_cycle_outlives_the_version(balance):
    sampler, grab = begun(balance, steps=23)
    sampler2, other = make(23, 1.0, grab=GraB(balance))
    with pytest.warns(UserWarning, match="the sums begin anew"):
        other.load_state_dict(changed(grab, version=2))
    for each in (sampler, sampler2):
        each.set_epoch(2)
    assert list(sampler2) == list(sampler)


def test_before_anything_has_begun():
    _, grab = make(23, 1.0)
    taken = check_refusals(grab, grab.state_dict())
    assert [name for name in taken if "negated" not in name and "'balancer'" not in name] == []


def changed(grab: GraB, **entries):
    return {**copy.deepcopy(grab.state_dict()), **entries}


@pytest.mark.parametrize("balance", BALANCES)
def test_entries_that_do_not_go_together_are_refused(balance):
    _, grab = begun(balance)
    state = grab.state_dict()
    order, (places, front, back), seen = state["order"], state["following"], state["seen"]
    twice = order.clone()
    twice[0] = twice[1]
    repeated = places.clone()
    repeated[0] = repeated[-1]
    unseen = seen.clone()
    unseen[int(torch.nonzero(seen)[0])] = False
    for entries in (
        {"order": twice}, {"order": order + 1}, {"following": [places, front + 1, back]},
        {"following": [repeated, front, back]}, {"seen": unseen}, {"seen": torch.ones_like(seen)},
        {"following": [places, back, front]}, {"cycle": 0}, {"epoch": 0}, {"place": 24}, {"width": None},
        {"width": 7},
    ):  # fmt: skip
        if balance == "greedy" and ("seen" in entries or entries.get("following", [None])[0] is repeated):
            continue  # it places nothing before the cycle ends, and keeps zeros for what was not seen
        with pytest.raises(TrainerError, match="load_state_dict: ") as caught:
            grab.load_state_dict({**state, **entries})
        assert "\n" not in str(caught.value)
        assert np.array_equal(grab.state_dict()["order"], order)


def test_a_group_that_waits_is_one_that_was_seen_and_has_no_place():
    _, grab = begun("pair")
    state = grab.state_dict()
    held = state["balancer"]["held"]
    placed = int(state["following"][0][0])
    unseen = int(torch.nonzero(~state["seen"])[0])
    for group in (placed, unseen):
        with pytest.raises(
            TrainerError, match=rf"balancer\.held: group {group} was not seen, or has a place"
        ):
            grab.load_state_dict({**state, "balancer": {**state["balancer"], "held": [group, *held[1:]]}})
    for vector in (held[1][:, :-1], held[1].double(), torch.full_like(held[1], torch.nan)):
        with pytest.raises(TrainerError, match=r"balancer\.held\[1\]"):
            grab.load_state_dict({**state, "balancer": {**state["balancer"], "held": [held[0], vector]}})


def test_a_state_of_another_balance_is_refused_whatever_its_name_says():
    grabs = {balance: begun(balance)[1] for balance in BALANCES}
    states = {balance: grab.state_dict() for balance, grab in grabs.items()}
    for one in BALANCES:
        for other in set(BALANCES) - {one}:
            with pytest.raises(TrainerError, match=r"load_state_dict: (balancer|following)"):
                grabs[one].load_state_dict({**states[other], "name": grabs[one].name})
