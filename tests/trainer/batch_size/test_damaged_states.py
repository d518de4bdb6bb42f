"""Damaged states of controllers and of what applies them: refused in one line, with nothing loaded."""

from __future__ import annotations

import re

import pytest
from damaged_states import check_refusals

from syllabus.trainer import TrainerError
from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaDampNN,
    BatchSizeController,
    GeoDamp,
    NoiseScale,
    PadaDamp,
    RadaDamp,
    Seesaw,
    cosine,
)
from syllabus.trainer.batch_size.signals import Signals

CONTROLLERS = {
    "adadamp": lambda: BatchSizeController(AdaDamp(optimum="estimated"), 4, every=0),
    "adadampnn": lambda: BatchSizeController(AdaDampNN(), 4, every=0),
    "radadamp": lambda: BatchSizeController(RadaDamp(), 4, wait=0),
    "padadamp": lambda: BatchSizeController(PadaDamp(rate=0.7), 4),
    "geodamp": lambda: BatchSizeController(GeoDamp(examples=20), 4, maximum=64),
    "seesaw": lambda: BatchSizeController(Seesaw(cosine(100)), 4, maximum=64),
    "noise": lambda: BatchSizeController(NoiseScale(), 4),
}
# Other values that a run can have had: what was measured, and what is for the record only.
LOOSE = r"\('(decision', '(signals|averages|batch_size|lr_factor|beta2_power|target)|sums'|target'|rule'[,)])"


def decided(name: str) -> BatchSizeController:
    controller = CONTROLLERS[name]()
    for updates in range(4):
        signals = Signals(
            losses=(2.0 / (updates + 1),), counts=(4,), norms=(1.0 / (updates + 1),), noise=8.0,
            squared_gradient=1.0, probe_loss=2.0 / (updates + 1), probe_norm=1.0 / (updates + 1),
        )  # fmt: skip
        controller.decide(updates, 4 * updates, signals)
    return controller


@pytest.mark.parametrize("name", CONTROLLERS)
def test_nothing_but_what_a_run_can_have_is_loaded(name):
    controller = decided(name)
    taken = check_refusals(controller, controller.state_dict())
    strange = [one for one in taken if not re.match(LOOSE, one)]
    # What is None may be left out.
    assert [one for one in strange if not re.match(r"\('identity', .*taken out", one)] == []
    # Of the target neither what is no number nor what no growth leads to.
    values = {one.rpartition(": ")[2] for one in taken if one.startswith("('target',)")}
    assert values <= (
        {"tensor(7777)", str(10**18), str(10**30)} if name in ("geodamp", "seesaw", "padadamp") else set()
    )


def test_a_target_that_no_growth_leads_to_is_refused():
    controller = decided("adadamp")
    state = controller.state_dict()
    controller.load_state_dict({**state, "target": 4 * 2.0**4})
    with pytest.raises(TrainerError, match="target=65 is more than growth=2 allows"):
        controller.load_state_dict({**state, "target": 65.0})
    with pytest.raises(TrainerError, match=r"target=3 is outside \[4, "):
        controller.load_state_dict({**state, "target": 3.0})


def test_rules_know_what_their_states_may_be():
    for name, change, line in (
        ("padadamp", {"rate": 0.8}, r"rule\.rate=0\.8 is outside \[0\.7, 0\.7\]"),
        ("seesaw", {"halved": 1}, "rule: factor, peak and halved do not agree"),
        ("seesaw", {"halved": 21}, r"rule\.halved=21 is outside \[0, 20\]"),
        ("adadamp", {"history": [[4.0, 1.0], [4.0, 1.0]]}, r"rule\.history: the examples do not rise"),
        ("adadampnn", {"first": -1.0}, r"rule\.first=-1 is outside"),
        ("radadamp", {"now": [1.0]}, r"rule\.now is \[1\.0\]; expected 2 entries"),
        ("noise", {"unmeasured": 11}, r"rule\.unmeasured=11 is outside \[0, 10\]"),
    ):
        controller = decided(name)
        state = controller.state_dict()
        with pytest.raises(TrainerError, match=line):
            controller.load_state_dict({**state, "rule": {**state["rule"], **change}})
