"""Similarities: each function means by cosine, dot and RBF what its definition says."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import (
    DisparityMin,
    DisparitySum,
    FacilityLocation,
    FacilityLocationConditionalGain,
    FacilityLocationMutualInformation,
    GraphCut,
    LogDeterminant,
    Mixture,
    Rbf,
    SaturatedCoverage,
    SelectionError,
    SparseFacilityLocation,
    maximize,
    sieve,
    valid_optimizers,
)
from syllabus.selectors.functions import similarity

WIDTH = 0.7
KINDS = {"dot": "dot", "rbf": Rbf(WIDTH)}
GUIDED = (FacilityLocationConditionalGain, FacilityLocationMutualInformation)
FUNCTIONS = (
    DisparityMin,
    DisparitySum,
    FacilityLocation,
    *GUIDED,
    GraphCut,
    LogDeterminant,
    SaturatedCoverage,
    SparseFacilityLocation,
)
CASES = [(function, name) for function in FUNCTIONS for name in KINDS]


def similar(name, a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    if name == "dot":
        return a @ b.T
    return np.exp(-np.array([((b - row) ** 2).sum(axis=1) for row in a]) / (2 * WIDTH**2))


def rows_of(kind, n, d, seed, name, function):
    """Return rows of norms between 1/2 and 2, equal where those of `planted` are equal."""
    rows = oracles.planted(kind, n, d, seed)
    rows = rows * np.float32(2) ** np.rint(rows[:, :1] * 3).clip(-1, 1).astype(np.float32)
    return np.abs(rows) if function is SaturatedCoverage and name == "dot" else rows


def made(function, name, rows):
    if function in GUIDED:
        return function(rows, rows[:2], similarity=KINDS[name])
    return function(rows, similarity=KINDS[name])


def brute(function, name, rows):
    s = similar(name, rows, rows)
    apart = (np.diag(s)[:, None] + np.diag(s)) / 2 - s
    pairs = [(a, b) for a in range(len(rows)) for b in range(a)]
    references = similar(name, rows, rows[:2])
    f = {
        DisparityMin: lambda c: min((apart[a, b] for a, b in pairs if a in c and b in c), default=0.0),
        DisparitySum: lambda c: apart[np.ix_(c, c)].sum() / 2,
        FacilityLocation: lambda c: np.maximum(0, s[:, c].max(axis=1)).sum(),
        FacilityLocationConditionalGain: lambda c: np.maximum(
            0, s[:, c].max(axis=1) - np.maximum(0, references.max(axis=1))
        ).sum(),
        FacilityLocationMutualInformation: lambda c: (
            np.maximum(0, references[c].max(axis=0)).sum() + np.maximum(0, references[c].max(axis=1)).sum()
        ),
        GraphCut: lambda c: s[:, c].sum() - 0.4 * s[np.ix_(c, c)].sum(),
        LogDeterminant: lambda c: np.linalg.slogdet(s[np.ix_(c, c)] + np.eye(len(c)))[1],
        SaturatedCoverage: lambda c: np.minimum(s[:, c].sum(axis=1), 0.1 * s.sum(axis=1)).sum(),
        SparseFacilityLocation: lambda c: np.maximum(0, s[:, c].max(axis=1)).sum(),
    }[function]
    return lambda chosen: f(list(chosen)) if len(chosen) else 0.0


def assert_same(one, other):
    assert one.indices.tolist() == other.indices.tolist()
    assert one.gains.tolist() == other.gains.tolist()
    assert one.objective == other.objective


@pytest.mark.parametrize(("function", "name"), CASES)
@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(2, 30),
    d=st.sampled_from([1, 3, 17]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_naive_is_greedy_by_brute_force(function, name, kind, n, d, seed):
    rows = rows_of(kind, n, d, seed, name, function)
    f = brute(function, name, rows)
    selection = maximize(made(function, name, rows), n, "naive")
    oracles.check_greedy(f, n, selection.indices, selection.gains)
    few = selection.indices[: n // 2 + 1]
    assert made(function, name, rows).value(few) == pytest.approx(f(few.tolist()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("function", "name"), [case for case in CASES if case[0] is not DisparityMin])
@given(
    kind=st.sampled_from(oracles.KINDS),
    n=st.integers(2, 150),
    d=st.sampled_from([2, 16, 33]),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_lazy_is_naive_and_of_equal_rows_the_first_comes_first(function, name, kind, n, d, share, seed):
    rows = rows_of(kind, n, d, seed, name, function)
    budget = max(1, int(share * n))
    selection = maximize(made(function, name, rows), budget, "lazy")
    assert_same(selection, maximize(made(function, name, rows), budget, "naive"))
    if function is not SparseFacilityLocation:
        oracles.check_equal_rows(rows, selection.indices)


@pytest.mark.parametrize("kind", oracles.KINDS)
@pytest.mark.parametrize("name", KINDS)
def test_larger_selections_agree_with_little_memory_and_short_lists(kind, name):
    rows = rows_of(kind, 600, 24, 4, name, None)
    for trade_off in (0.4, 3.0):
        function = GraphCut(rows, trade_off, similarity=KINDS[name])
        assert_same(maximize(function, 600, "lazy"), maximize(function, 600, "naive"))
    expected = maximize(FacilityLocation(rows, similarity=KINDS[name]), 200, "naive")
    small = FacilityLocation(rows, memory_budget=4 * 600 * 200, similarity=KINDS[name])
    assert small.kernel() is None
    assert_same(maximize(small, 200, "lazy"), expected)


@pytest.mark.parametrize("kind", oracles.KINDS)
def test_farthest_first_takes_the_same_rows_under_every_similarity(kind):
    rows = rows_of(kind, 300, 8, 1, "rbf", None)
    chosen = [maximize(DisparityMin(rows, similarity=s), 200, "naive") for s in ("dot", "rbf", Rbf(0.2))]
    for other in chosen[1:]:
        assert other.indices.tolist() == chosen[0].indices.tolist()
        assert 0 <= other.objective <= 1


def test_entries_are_within_the_stated_error():
    for name, scale in (("dot", 1.0), ("rbf", 1.0), ("dot", 1e-6), ("rbf", 1e4)):
        rows = (rows_of("clusters", 200, 48, 0, name, None) * scale).astype(np.float32)
        function = FacilityLocation(rows, similarity="rbf" if name == "rbf" else "dot")
        exact = function.similarity.between(rows, rows)
        assert np.abs(function.kernel() - exact).max() <= function.error
        assert function.error <= 1e-3 * max(1.0, np.abs(exact).max())
        assert np.abs(function.similarity.sums(rows) / exact.sum(axis=1) - 1).max() < 1e-9
        equal = FacilityLocation(np.repeat(rows[:50], 4, axis=0), similarity=name).similarity
        sums = equal.sums(np.repeat(rows[:50], 4, axis=0)).reshape(50, 4)
        assert (sums == sums[:, :1]).all()


def test_the_width_is_the_median_distance_of_rows_that_differ():
    rows = np.array([[0, 0], [0, 0], [3, 4], [0, 2]], np.float32)
    # 5, 2 and √13 each from one of the two copies and once between the others: 2, 2, √13, 5, 5.
    assert similarity.median_distance(rows) == pytest.approx(np.sqrt(13))
    assert similarity.median_distance(rows[:2]) == 1.0
    assert similarity.median_distance(rows[:1]) == 1.0
    many = np.random.default_rng(0).standard_normal((5000, 4)).astype(np.float32)
    assert similarity.median_distance(many) == similarity.median_distance(many.copy())
    whole = np.median([np.linalg.norm(many[i] - many[i + 1 :], axis=1).mean() for i in range(0, 4000, 40)])
    assert similarity.median_distance(many) == pytest.approx(whole, rel=0.05)
    own, given = (GraphCut(rows, similarity=s) for s in ("rbf", Rbf(float(np.sqrt(13)))))
    assert own.similarity.rate == pytest.approx(given.similarity.rate)


def test_dot_of_unit_rows_is_cosine_up_to_a_line():
    rows = oracles.planted("clusters", 200, 16, seed=3)
    for function in (FacilityLocation, DisparityMin, DisparitySum):
        cosine = maximize(function(rows), 20, "naive")
        dot = maximize(function(rows, similarity="dot"), 20, "naive")
        if function is not FacilityLocation:
            assert dot.indices.tolist() == cosine.indices.tolist()
            np.testing.assert_allclose(dot.gains, 2 * cosine.gains, rtol=1e-5, atol=1e-6)


def test_certificates_hold_and_are_dropped_where_they_would_not():
    for name, function in ((name, function) for name in KINDS for function in FUNCTIONS):
        for seed in range(12):
            rows = rows_of("normal", 8, 3, seed, name, function)
            f = brute(function, name, rows)
            for optimizer in valid_optimizers(made(function, name, rows)):
                chance = 0 if optimizer in ("lazier", "stochastic") else None
                found = maximize(made(function, name, rows), 3, optimizer, seed=chance)
                if found.upper_bound is not None:
                    assert found.upper_bound >= oracles.best_value(f, 8, 3) - 1e-9
    signed = rows_of("normal", 30, 4, 0, "dot", None)
    assert maximize(GraphCut(signed, similarity="dot"), 5).upper_bound is None
    assert "lazier" not in valid_optimizers(GraphCut(signed, similarity="dot"))
    positive = np.abs(signed)
    assert maximize(GraphCut(positive, similarity="dot"), 5).upper_bound is not None
    assert "lazier" in valid_optimizers(GraphCut(positive, similarity="dot"))
    assert maximize(FacilityLocation(signed, similarity="dot"), 5).upper_bound is not None


def test_what_is_refused():
    rows = oracles.planted("normal", 20, 4, seed=0)
    for bad in ("euclidean", None, 3):
        with pytest.raises(SelectionError, match=r"similarity .* is unknown; valid: cosine, dot, rbf"):
            GraphCut(rows, similarity=bad)
    for width in (0, -1.0, float("inf"), float("nan"), "1", 1e-200, 1e200):
        with pytest.raises(SelectionError, match=r"width=.* is outside \[1e-150, 1e150\]"):
            Rbf(width)
    with pytest.raises(SelectionError, match="row 3 has norm 2"):
        GraphCut(rows * np.where(np.arange(20) == 3, 2, 1)[:, None].astype(np.float32))
    with pytest.raises(SelectionError, match=r"norm 1\.00000008e\+16; at most 1e\+15"):
        FacilityLocation(rows * np.float32(1e16), similarity="dot")
    with pytest.raises(SelectionError, match=r"saturated_coverage: similarity 'dot' .* negative"):
        SaturatedCoverage(rows, similarity="dot")
    with pytest.raises(SelectionError, match="row 0 contains NaN"):
        DisparityMin(np.full((3, 2), np.nan, np.float32), similarity="rbf")
    with pytest.raises(SelectionError, match=r"give Rbf\(width\)"):
        sieve([rows], lambda block: LogDeterminant(block, similarity="rbf"), 3)
    assert len(sieve([rows, rows], lambda block: LogDeterminant(block, similarity=Rbf(1.0)), 3).indices) == 3


def test_zero_rows_and_mixtures_of_similarities():
    rows = rows_of("normal", 40, 6, 0, "dot", None)
    rows[7] = 0
    for function, name in CASES:
        if function is SaturatedCoverage and name == "dot":
            continue
        assert sorted(maximize(made(function, name, rows), 40, "naive").indices.tolist()) == list(range(40))
    assert sorted(maximize(GraphCut(rows, similarity="dot"), 40).indices.tolist()) == list(range(40))
    mixed = Mixture(
        [GraphCut(np.abs(rows), similarity="dot"), FacilityLocation(rows, similarity="rbf")], [1, 2]
    )
    assert_same(maximize(mixed, 15, "lazy"), maximize(mixed, 15, "naive"))


@pytest.mark.parametrize("kind", [FacilityLocation, GraphCut, LogDeterminant])
def test_the_narrowest_and_the_widest_rbf(kind):
    """Rows are like nothing but themselves, or all alike: also where a rate is beyond float32."""
    rows = oracles.planted("normal", 30, 5, seed=1)
    apart, alike = np.eye(30), np.ones((30, 30))
    for scale, width, s in ((1, 1e-150, apart), (1e-30, 1e-100, apart), (1, 1e150, alike)):
        function = kind(rows * np.float32(scale), similarity=Rbf(width))
        chosen = maximize(function, 3, "naive").indices
        assert chosen.tolist() == [0, 1, 2]
        expected = {
            FacilityLocation: s[:, :3].max(axis=1).sum(),
            GraphCut: s[:, :3].sum() - 0.4 * s[:3, :3].sum(),
            LogDeterminant: np.linalg.slogdet(np.eye(3) + s[:3, :3])[1],
        }
        assert function.value(chosen) == pytest.approx(expected[kind])


def test_the_median_distance_of_an_even_number_of_pairs_is_of_distances():
    # The pairs of four points on a line: 1, 2, 3, 7, 9, 10.
    rows = np.array([[0.0], [1.0], [3.0], [10.0]], np.float32)
    assert similarity.median_distance(rows) == 5.0  # (3 + 7)/2; of squares it was 5.385
    assert similarity.median_distance(rows[:3]) == 2.0
    assert similarity.median_distance(np.repeat(rows, 2, axis=0)) == 5.0
    x = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    far = np.linalg.norm(x[:, None].astype(float) - x[None], axis=2)[np.triu_indices(60, 1)]
    assert similarity.median_distance(x) == pytest.approx(np.median(far), rel=1e-14)
    rate = GraphCut(rows, similarity="rbf").similarity.rate
    assert rate == pytest.approx(2 / 25, rel=1e-15)
