"""The 8-bit rows never change which row is best."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors.numerics.fixed_order_sums import dots
from syllabus.selectors.numerics.quantized_rows import QuantizedRows


@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(1, 200),
    d=st.sampled_from((1, 2, 8, 17, 48)),
    seed=st.integers(0, 10**6),
    size=st.sampled_from((0.0, 1e-300, 1e-40, 1e-3, 1.0, 1e6)),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_the_best_row_is_that_of_all_exact_products(kind, n, d, seed, size):
    rows = oracles.planted(kind, n, d, seed)
    rng = np.random.default_rng(seed)
    query = size * rng.standard_normal(d)
    terms = rng.choice([0.0, 0.2, 0.2 + 1e-12], n)
    used = rng.random(n) < 0.3
    used[rng.integers(n)] = False
    scores = np.empty(n)
    dots(rows, query, scores)
    scores = np.where(used, -np.inf, scores - terms)
    pick, score = QuantizedRows(rows, (d + 16) * 2.0**-24 * 1.02).best(query, terms, used)
    assert pick == int(scores.argmax())
    assert score == scores.max()


def test_few_rows_are_left_to_compute():
    rows = oracles.planted("normal", 5000, 384, seed=0)
    sketch = QuantizedRows(rows, 0.0)
    kept = np.abs(rows.astype(np.float64) - sketch.scales[:, None] * sketch.codes.astype(np.float64))
    errors = np.sqrt((kept**2).sum(axis=1))
    assert (errors <= sketch.errors).all()
    assert sketch.errors.max() < 0.012
    assert sketch.codes.nbytes == rows.nbytes / 4
    assert errors == pytest.approx(sketch.errors, rel=1e-5)
