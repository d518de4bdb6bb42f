"""What stands between a rule's wish and the size: limits, quantum, cap, learning rate, state."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import ClassVar

import pytest

from syllabus.trainer import TrainerError
from syllabus.trainer.batch_size import BatchSizeController, Constant, GeoDamp, Rule, Signals, Steps


@dataclasses.dataclass(frozen=True)
class Wish(Rule):
    """Wishes for what the probe says."""

    needs: ClassVar[frozenset[str]] = frozenset({"probe_loss"})

    def target(self, state, initial, at):  # noqa: ARG002
        return at.signals.probe_loss


def controller(initial=8, quantum=1, adam_like=False, **options):
    made = BatchSizeController(Wish(), initial, **options)
    made.bind(quantum, adam_like)
    return made


def decide(made, *wishes, count=10):
    return [made.decide(k, count * k, Signals(probe_loss=wish)) for k, wish in enumerate(wishes)]


def sizes(made, *wishes):
    return [decision.batch_size for decision in decide(made, *wishes)]


def test_growth_is_limited_and_the_size_never_falls_by_default():
    assert sizes(controller(), 8.0, 100.0, 100.0, 5.0, 1000.0) == [8, 16, 32, 32, 64]
    assert sizes(controller(growth=3), 8.0, 100.0) == [8, 24]
    assert sizes(controller(growth=math.inf, monotone=False), 8.0, 100.0, 12.0, 1.0) == [8, 100, 12, 8]
    assert sizes(controller(growth=math.inf, monotone=False, minimum=2), 8.0, 1.0, 3.0) == [8, 2, 3]


def test_sizes_are_rounded_up_to_the_quantum_and_down_at_the_cap():
    assert sizes(controller(quantum=6, growth=math.inf), 8.0, 12.0, 12.1) == [12, 12, 18]
    assert sizes(controller(quantum=6, growth=math.inf, maximum=20), 8.0, 100.0) == [12, 18]
    with pytest.raises(TrainerError, match="maximum=20 is below 24, what sizes are multiples of"):
        controller(quantum=24, maximum=20)


@pytest.mark.parametrize(("adam_like", "power"), [(False, 1), (True, 0.5)])
def test_past_the_cap_the_learning_rate_falls_and_it_is_restored_when_the_wish_falls(adam_like, power):
    made = controller(maximum=32, growth=math.inf, monotone=False, adam_like=adam_like, beta2="fixed")
    found = decide(made, 8.0, 32.0, 64.0, 320.0, 64.0, 20.0)
    assert [d.batch_size for d in found] == [8, 32, 32, 32, 32, 20]
    assert [d.lr_factor for d in found] == pytest.approx([1, 1, 0.5**power, 0.1**power, 0.5**power, 1])


def test_beta2_keeps_its_half_life_in_examples():
    made = controller(adam_like=True, growth=math.inf)
    assert [d.beta2_power for d in decide(made, 8.0, 32.0)] == [1, 4]
    assert [d.beta2_power for d in decide(controller(growth=math.inf), 8.0, 32.0)] == [1, 1]
    fixed = controller(adam_like=True, growth=math.inf, beta2="fixed")
    assert [d.beta2_power for d in decide(fixed, 8.0, 32.0)] == [1, 1]


def test_decisions_wait_and_dwell_in_updates_and_examples():
    made = controller(wait=3, dwell=2, growth=math.inf)
    due = []
    for k in range(10):
        due.append(made.due(k, 10 * k))
        made.decide(k, 10 * k, Signals(probe_loss=10.0 * (k + 1)))
    assert due == [True, False, False, True, False, True, False, True, False, True]
    assert made.decision.batch_size == 100
    made = controller(every=25, growth=math.inf)
    assert [
        k for k in range(10) if made.due(k, 10 * k) and made.decide(k, 10 * k, Signals(probe_loss=9.0))
    ] == [0, 3, 6, 9]


def test_a_decision_that_is_not_due_is_the_old_one_and_counts_do_not_go_backward():
    made = controller(dwell=5)
    first = made.decide(0, 0, Signals(probe_loss=16.0))
    assert made.decide(3, 30, Signals(probe_loss=99.0)) is made.decision
    assert (first.batch_size, made.decision.batch_size) == (16, 16)
    made.decide(5, 50, Signals(probe_loss=16.0))
    with pytest.raises(TrainerError, match="updates=4, examples=50 lie before the last decision"):
        made.decide(4, 50)


def test_a_plan_may_jump_and_fall():
    made = BatchSizeController(Steps("0:8 10:100 20:4"))
    assert [made.decide(k, 10 * k).batch_size for k in range(3)] == [8, 100, 4]


def test_a_state_holds_on_another_quantum():
    made = controller(quantum=4, growth=math.inf)
    decide(made, 8.0, 30.0)
    state = json.loads(json.dumps(made.state_dict()))  # plain values only
    assert made.decision.batch_size == 32
    again = controller(quantum=10, growth=math.inf)
    again.load_state_dict(state)
    assert again.decision.batch_size == 30
    assert again.decide(2, 20, Signals(probe_loss=31.0)).batch_size == 40
    assert made.decide(2, 20, Signals(probe_loss=31.0)).batch_size == 32


def test_a_state_of_something_else_is_refused():
    state = controller().state_dict()
    with pytest.raises(TrainerError, match="maximum is None in the state and 64 here"):
        controller(maximum=64).load_state_dict(state)
    with pytest.raises(TrainerError, match=r"rule is .*Wish.* in the state and .*Constant.* here"):
        BatchSizeController(Constant(), 8, growth=2.0, monotone=True, minimum=8).load_state_dict(state)
    with pytest.raises(TrainerError, match="version is 0; this code reads 1"):
        controller().load_state_dict({**state, "version": 0})


def test_a_state_is_a_copy():
    made = controller()
    state = made.state_dict()
    decide(made, 8.0, 100.0)
    assert state == controller().state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 0}, "initial=0 is below 1"),
        ({"initial": None}, "initial is missing"),
        ({"minimum": 0}, "minimum=0 is below 1"),
        ({"maximum": 7}, "maximum=7 is below 8"),
        ({"dwell": 0}, "dwell=0 is below 1"),
        ({"every": -1}, "every=-1 is below 0"),
        ({"wait": -1}, "wait=-1 is below 0"),
        ({"growth": 0.5}, "growth=0.5 is below 1"),
        ({"growth": math.nan}, "growth=nan is below 1"),
        ({"half_life": 0}, "half_life=0 is below 1"),
        ({"beta2": "half"}, "beta2='half' is unknown; known: fixed, half-life"),
        ({"rule": "geo"}, "rule='geo' is no Rule"),
        ({"rule": Steps("0:64")}, "initial=8, and Steps begins at 64"),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(options, message):
    given = {"rule": GeoDamp(epochs=1), "initial": 8, **options}
    with pytest.raises(TrainerError, match=message):
        BatchSizeController(given.pop("rule"), given.pop("initial"), **given)
