"""Fields of states: what they take, and the one line in which they refuse anything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from syllabus.trainer import TrainerError
from syllabus.trainer.states import (
    boolean,
    differences,
    entries,
    equal,
    integer,
    mapping,
    number,
    optional,
    row,
    section,
    several,
    tensor,
    text,
)

NAN = float("nan")
itself: list = []
itself.append(itself)

GOOD = [
    (integer(), 3, 3),
    (integer(), np.int64(3), 3),
    (integer(), torch.tensor(3), 3),
    (number(), 3, 3),
    (number(0, 1), np.float32(0.1), 0.1),
    (number(finite=False), float("inf"), float("inf")),
    (boolean, np.bool_(True), True),
    (text, "a", "a"),
    (optional(integer()), None, None),
    (row(integer(), text), (1, "a"), [1, "a"]),
    (several(integer(), 2), [1, 2], [1, 2]),
    (section({"a": integer()}), {"a": 1, "later": "passed over"}, {"a": 1}),
]
BAD = [
    (integer(), True, "it: x=True is a bool; expected an integer"),
    (integer(), 3.0, "x=3.0 is a float; expected an integer"),
    (integer(), "3", "x='3' is a str"),
    (integer(), 2**63, "is outside [0, 9223372036854775807]"),
    (integer(), 10**9000, "x is an integer of more than 64 bits"),
    (integer(1, 5), 0, "x=0 is outside [1, 5]"),
    (integer(), torch.zeros(2, dtype=torch.int64), "x=tensor([0, 0]) is a Tensor of torch.int64"),
    (integer(), torch.zeros((), device="meta", dtype=torch.int64), "expected an integer"),
    (number(), NAN, "x=nan is not finite"),
    (number(0), -1, "x=-1 is outside [0, inf]"),
    (number(), None, "x=None is a NoneType; expected a number"),
    (number(), 10**400, "x is an integer that no float can hold"),
    (boolean, 1, "x=1 is a int; expected True or False"),
    (text, b"a", "x is a bytes; expected a text"),
    (mapping, {1: 2}, "x is a dict; expected a dict whose keys are texts"),
    (mapping, [], "x is a list; expected a dict"),
    (row(integer()), [], "x is []; expected 1 entries"),
    (row(integer(), text), [1, 2], "x[1] is a int; expected a text"),
    (row(integer()), itself, "x[0]=[[...]] is a list; expected an integer"),
    (several(integer(), 2), [1, 2, 3], "x has 3 entries; at most 2 are possible"),
    (several(integer()), "123", "x is a str; expected a list"),
    (section({"a": integer()}), {}, "x has no 'a'"),
    (section({"a": section({"b": integer()})}), {"a": {"b": -1}}, "x.a.b=-1 is outside"),
    (tensor((2,), torch.int64), torch.zeros(2), "x is a Tensor of torch.float32 of shape (2,)"),
    (tensor((2, None), torch.float32), torch.zeros(3, 1), "expected torch.float32 of shape (2, …)"),
    (tensor((2,), torch.float32), torch.tensor([1.0, NAN]), "x has numbers that are not finite"),
    (tensor((2,), torch.float32), np.zeros(2, np.float32), "x is a ndarray"),
    (tensor((2,), torch.float32), torch.zeros(2).to_sparse(), "expected torch.float32"),
    (tensor((2,), torch.float32), torch.zeros(2, device="meta"), "expected torch.float32"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "expected"), GOOD)
def test_what_it_takes_becomes_plain(field, value, expected):
    found = field("it", "x", value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(("field", "value", "line"), BAD, ids=[line for *_, line in BAD])
def test_anything_else_is_one_line(field, value, line):
    with pytest.raises(TrainerError) as caught:
        field("it", "x", value)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_entries_that_are_missing_are_named_with_their_place():
    with pytest.raises(TrainerError, match=r"^it: the state has no 'a'$"):
        entries("it", {}, {"a": integer()})
    with pytest.raises(TrainerError, match=r"^it: inner has no 'a'$"):
        entries("it", {}, {"a": integer()}, "inner")
    with pytest.raises(TrainerError, match=r"^it: the state is a NoneType; expected a dict"):
        entries("it", None, {})


def test_equal_is_of_plain_values_and_never_raises():
    same = [(1, np.int64(1)), (0.1, np.float32(0.1)), ([1, (2,)], (1, [2])), ({"a": None}, {"a": None})]
    other = [
        (1, True), (0, False), (1, "1"), (None, 0), ("a", ["a"]), ({"a": 1}, {"b": 1}), ([1], [1, 2]),
        (torch.zeros(2), torch.zeros(2)), (1, torch.zeros(2)), (NAN, NAN), (b"a", "a"),
    ]  # fmt: skip
    assert all(equal(one, two) and equal(two, one) for one, two in same)
    assert not any(equal(one, two) or equal(two, one) for one, two in other)


def test_differences_name_what_is_other_and_forgive_what_is_new():
    here = {"seed": 1, "schedule": "mine", "drawn": "beef"}
    assert differences(here, here) == ""
    assert differences({"seed": 1, "schedule": "mine"}, here) == ""  # of before there was such an entry
    assert differences({**here, "drawn": None}, here) == "drawn is None in the state and 'beef' here"
    assert differences({**here, "unit": "tokens"}, here) == "unit is 'tokens' in the state and None here"
    assert differences({"seed": torch.zeros(2)}, here).startswith(
        "seed is tensor([0., 0.]) in the state and 1"
    )
    assert len(differences({**here, "schedule": "m" * 10**6}, here)) < 200
