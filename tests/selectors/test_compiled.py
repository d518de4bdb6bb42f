"""Compilation where numba has no place for its cache, as in a read-only installation without a home."""

from types import FunctionType

import numba
import numpy as np
import pytest

from syllabus.selectors.numerics.compiled import compiled


def total(numbers: np.ndarray) -> float:
    result = 0.0
    for number in numbers:
        result += number
    return result


def test_a_loop_is_compiled_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    nowhere = FunctionType(total.__code__.replace(co_filename="<nowhere>"), globals())
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(nowhere)
    assert compiled(nowhere)(np.arange(4.0)) == 6
