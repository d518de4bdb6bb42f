"""Options: scalars of numpy and torch are Python's own, so that states stay plain; other types are errors."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import pytest
import torch
from samplers import curriculum, manifest, sampler

from syllabus.trainer import CountSketch, Curriculum, GraB, ManifestSampler, TrainerError, counter_rng
from syllabus.trainer.validation import names, real, whole

INTEGERS = [np.int64, np.uint8, np.int32, np.array, torch.tensor]
NUMBERS = [np.float32, np.float64, np.array, torch.tensor, lambda x: torch.tensor(x, dtype=torch.float64)]


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and plain(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    return type(value) in (str, int, float, bool, type(None)) or type(value) is torch.Tensor


@pytest.mark.parametrize("integer", INTEGERS)
def test_a_run_of_scalars_draws_and_saves_what_pythons_own_numbers_do(integer):
    def made(integer, number, text):
        drawn = Curriculum(
            manifest(), number(0.4), integer(3), text("milo"), seed=integer(3), easy_fraction=number(0.5),
            refresh_every=integer(2), budgets=text("equal"), per_rung=[integer(1), integer(2)],
        )  # fmt: skip
        one = ManifestSampler(
            drawn, text("shuffle"), num_replicas=integer(2), rank=integer(1), seed=integer(5),
            drop_last=np.bool_(True),
        )  # fmt: skip
        one.set_epoch(integer(1))
        return drawn, one

    for number in NUMBERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a draw that is kept
            theirs, ours = made(integer, number, np.str_), made(int, float, str)
        assert theirs[0].identity() == ours[0].identity()
        assert theirs[0].fraction == 0.4
        for epoch in range(3):
            expected = ours[0].indices(epoch).tolist()
            assert theirs[0].indices(integer(epoch)).tolist() == expected
        rows = list(theirs[1])
        assert rows == list(ours[1])
        state = theirs[1].state_dict(integer(6))
        assert plain(state)
        assert json.loads(json.dumps(state)) == ours[1].state_dict(6)
        assert theirs[1].steps(integer(2), integer(2)) == ours[1].steps(2, 2)


def test_the_states_of_grab_load_with_weights_only():
    grab = GraB(np.str_("pair"), start=np.str_("shuffle"), unit=np.int64(2))
    one = ManifestSampler(curriculum(1.0, schedule="fresh"), grab, seed=np.int64(7))
    rows = [row for _, row in zip(range(4), one, strict=False)]
    grab.step(torch.ones(2, 3), np.array(rows))
    kept = io.BytesIO()
    torch.save({"grab": grab.state_dict(), "sampler": one.state_dict()}, kept)
    kept.seek(0)
    state = torch.load(kept, weights_only=True)
    assert plain(state)
    again = GraB(unit=2)
    other = ManifestSampler(curriculum(1.0, schedule="fresh"), again, seed=7)
    again.load_state_dict(state["grab"])
    other.load_state_dict(state["sampler"])
    assert list(other) == list(one)[4:]


def test_a_key_is_of_the_number_and_not_of_its_type():
    assert counter_rng.key(np.int64(3), "a", torch.tensor(2)) == counter_rng.key(3, "a", 2)
    assert counter_rng.key(3, "a") != counter_rng.key("3", "a")
    with pytest.raises(TypeError):
        counter_rng.key(1.5)


WRONG = [
    ({"seed": None}, "Curriculum: seed=None is a NoneType; expected an integer"),
    ({"seed": "a"}, "Curriculum: seed='a' is a str; expected an integer"),
    ({"seed": 1.5}, "Curriculum: seed=1.5 is a float; expected an integer"),
    ({"seed": True}, "Curriculum: seed=True is a bool; expected an integer"),
    ({"seed": 10**5000}, "Curriculum: seed is an integer of more than 64 bits"),
    ({"epochs": 1.5}, "Curriculum: epochs=1.5 is a float; expected an integer"),
    (
        {"epochs": torch.tensor([3])},
        "Curriculum: epochs=tensor([3]) is a Tensor of torch.int64 of shape (1,);",
    ),
    ({"fraction": "0.1"}, "Curriculum: fraction='0.1' is a str; expected a number"),
    ({"fraction": float("nan")}, "Curriculum: fraction=nan is outside (0, 1]"),
    ({"fraction": 10**400}, "Curriculum: fraction is an integer that no float can hold"),
    ({"fraction": np.zeros(3)}, "is a ndarray of float64 of shape (3,); expected a number"),
    ({"easy_fraction": None}, "Curriculum: easy_fraction=None is a NoneType; expected a number"),
    ({"refresh_every": 2.0}, "Curriculum: refresh_every=2.0 is a float; expected an integer"),
    ({"schedule": ["fresh"]}, "Curriculum: schedule ['fresh'] is unknown; known: auto"),
    ({"budgets": 3}, "Curriculum: budgets 3 is unknown; known: equal"),
    ({"filters": 3}, "Curriculum: filters=3 is a int; expected a sequence of names"),
    ({"filters": [3]}, "Curriculum: filters=[3] is a list; expected a sequence of names"),
    ({"per_rung": "1"}, "Curriculum: per_rung='1' is neither True or False nor epochs"),
    ({"per_rung": [1.5]}, "Curriculum: per_rung=1.5 is a float; expected an integer"),
    ({"manifest": 3}, "Curriculum: manifest is a int; expected a Manifest, its path or its URL"),
]


@pytest.mark.parametrize(("options", "line"), WRONG, ids=[line[:40] for _, line in WRONG])
def test_another_type_is_one_line(options, line):
    given = {"manifest": manifest(), "fraction": 0.4, "epochs": 3, "schedule": "fresh", "seed": 0, **options}
    with pytest.raises(TrainerError) as caught:
        Curriculum(**given)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_so_it_is_for_samplers_and_orders():
    drawn = curriculum(schedule="fresh")
    for call, line in [
        (lambda: sampler(drawn, 3), "order 3 is unknown"),
        (lambda: sampler(drawn, ["shuffle"]), "is unknown"),
        (lambda: sampler(drawn, seed="a"), "ManifestSampler: seed='a' is a str"),
        (
            lambda: sampler(drawn, drop_last="no"),
            "ManifestSampler: drop_last='no' is a str; expected True or",
        ),
        (lambda: sampler(drawn, num_replicas=2.0), "ManifestSampler: num_replicas=2.0 is a float"),
        (lambda: sampler(drawn).set_epoch(1.0), "ManifestSampler.set_epoch: epoch=1.0 is a float"),
        (lambda: sampler(drawn).steps(0), "ManifestSampler.steps: batch_size=0 is below 1"),
        (lambda: sampler(drawn).state_dict(1.5), "global_examples=1.5 is a float"),
        (lambda: sampler(drawn, labels=np.zeros((64, 2))), "labels: have shape (64, 2); expected one a row"),
        (lambda: sampler(drawn, ids=np.full((62, 2), "a")), "ids: have shape (62, 2); expected one a row"),
        (lambda: sampler(drawn, ids=torch.zeros(62, 2)), "ids: have shape (62, 2); expected one a row"),
        (lambda: drawn.indices(1.0), "Curriculum.indices: epoch=1.0 is a float"),
        (lambda: GraB(unit=1.5), "GraB: unit=1.5 is a float"),
        (lambda: GraB(["pair"]), "GraB: balance ['pair'] is unknown"),
        (lambda: CountSketch(8, seed=None), "CountSketch: seed=None is a NoneType"),
    ]:
        with pytest.raises(TrainerError) as caught:
            call()
        assert line in str(caught.value)


def test_bounds_and_short_decimals():
    assert real("it", "x", np.float16(0.1)) == 0.1
    assert real("it", "x", torch.tensor(0.3)) == 0.3
    assert whole("it", "x", np.uint64(2**64 - 1), 0) == 2**64 - 1
    assert names("it", "x", {"a"}) == ("a",)
    with pytest.raises(TrainerError, match=r"it: x=7 is outside \[1, 6\]"):
        whole("it", "x", np.int8(7), 1, 6)
