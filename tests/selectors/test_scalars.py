"""Scalars of NumPy and torch as options: the shortest decimal of their own dtype, wherever they are given."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
import torch

from syllabus.selectors import FeatureBased, GraphCut, maximize
from syllabus.selectors.numerics.scalars import plain_scalar
from syllabus.selectors.validation import python_number
from syllabus.trainer.validation import real

FEW_BITS = [
    np.float16, np.float32, lambda x: np.array(x, np.float32), torch.tensor,
    *(lambda x, kind=kind: torch.tensor(x, dtype=kind) for kind in (torch.float16, torch.bfloat16)),
]  # fmt: skip


@pytest.mark.parametrize("scalar", FEW_BITS)
@pytest.mark.parametrize("number", [0.1, 0.4, 1e-3, 7.0, -0.25, 30.0])
def test_few_bits_are_the_shortest_decimal(scalar, number):
    assert (
        plain_scalar(scalar(number))
        == python_number(scalar(number))
        == real("it", "x", scalar(number))
        == number
    )
    assert type(plain_scalar(scalar(number))) is float


def test_a_float64_is_what_it_is():
    third = 1 / 3
    for scalar in (np.float64(third), np.array(third), torch.tensor(third, dtype=torch.float64), third):
        assert plain_scalar(scalar) == third
    assert plain_scalar(np.longdouble(0.5)) == 0.5
    assert type(plain_scalar(np.longdouble(0.5))) is float


def test_what_is_read_holds_as_many_bits_as_the_scalar():
    draws = np.random.default_rng(0).standard_normal(200).astype(np.float32)
    for number in draws:
        assert np.float32(plain_scalar(number)) == number
        assert np.float32(plain_scalar(torch.tensor(number))) == number
        assert plain_scalar(torch.tensor(number)) == plain_scalar(number)


def test_others_stay_what_they_are():
    date, meta = np.datetime64("2026-01-01", "ns"), torch.zeros((), device="meta")
    array = np.zeros(2)
    assert plain_scalar(date) is date
    assert plain_scalar(meta) is meta
    assert plain_scalar(array) is array
    assert plain_scalar("0.1") == "0.1"
    assert plain_scalar(np.bool_(True)) is True
    assert python_number(date) is python_number(np.bool_(True)) is python_number(1j) is None
    assert math.isnan(plain_scalar(torch.tensor(math.nan)))
    assert plain_scalar(torch.tensor(math.inf, dtype=torch.bfloat16)) == math.inf


def test_an_option_of_few_bits_selects_what_pythons_number_does():
    rows = oracles.planted("clusters", 60, 8, seed=0)
    expected = maximize(GraphCut(rows, trade_off=0.4), 10, "lazy")
    for scalar in (np.float32(0.4), torch.tensor(0.4), torch.tensor(0.4, dtype=torch.bfloat16)):
        found = maximize(GraphCut(rows, trade_off=scalar), 10, "lazy")
        assert found.gains.tolist() == expected.gains.tolist()


def test_numbers_in_a_list_are_those_of_the_array_of_them():
    rows = np.abs(oracles.planted("normal", 30, 3, seed=1))
    weights = [np.float32(0.1), np.float32(0.7), np.float32(1.3)]
    one, other = (maximize(FeatureBased(rows, weights=given), 5) for given in (weights, np.array(weights)))
    third = maximize(FeatureBased(rows, weights=[torch.tensor(float(weight)) for weight in weights]), 5)
    assert one.gains.tolist() == other.gains.tolist() == third.gains.tolist()
