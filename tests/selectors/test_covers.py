"""Set covers: scipy's sparse rows, arrays and the definition say the same."""

import numpy as np
import oracles
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.selectors import ProbabilisticSetCover, SelectionError, SetCover, maximize


def sparse(n, d, seed, share=0.2):
    rng = np.random.default_rng([seed, n, d])
    features = rng.random((n, d)) * (rng.random((n, d)) < share)
    features[rng.integers(0, n, n // 4)] = features[rng.integers(0, n, n // 4)]  # equal rows
    features[rng.random((n, d)) < 0.02] = 1
    return features.astype(np.float32)


def assert_same(one, other):
    assert one.indices.tolist() == other.indices.tolist()
    assert one.gains.tolist() == other.gains.tolist()
    assert one.objective == other.objective


@pytest.mark.parametrize("function", [SetCover, ProbabilisticSetCover])
@given(n=st.integers(1, 60), d=st.integers(1, 40), seed=st.integers(0, 10**6), weighted=st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_sparse_rows_arrays_and_brute_force_agree(function, n, d, seed, weighted):
    dense = sparse(n, d, seed)
    weights = np.random.default_rng(seed).random(d) if weighted else np.ones(d)
    matrix = scipy.sparse.csr_matrix(dense)
    expected = maximize(function(dense, weights), n, "naive")
    f = oracles.probabilistic_set_cover(dense > 0 if function is SetCover else dense, weights)
    oracles.check_greedy(f, n, expected.indices, expected.gains)
    oracles.check_equal_rows(dense, expected.indices)
    for features in (
        dense,
        matrix,
        matrix.astype(np.float64),
        scipy.sparse.csr_array(dense),
        scipy.sparse.csc_matrix(dense),
        scipy.sparse.coo_matrix(dense),
    ):
        assert_same(maximize(function(features, weights), n, "lazy"), expected)
    few = expected.indices[: n // 2]
    assert function(matrix, weights).value(few) == pytest.approx(f(few.tolist()), rel=1e-12)
    assert expected.objective == pytest.approx(f(list(range(n))), rel=1e-12)


def test_csr_of_float64_is_not_copied_nor_changed():
    matrix = scipy.sparse.csr_matrix(sparse(50, 30, 0).astype(np.float64))
    before = matrix.copy()
    function = ProbabilisticSetCover(matrix)
    for ours, theirs in (
        (function.features.values, matrix.data),
        (function.features.columns, matrix.indices),
        (function.features.starts, matrix.indptr),
    ):
        assert np.shares_memory(ours, theirs)
    maximize(function, 20)
    assert (matrix != before).nnz == 0


def test_unsorted_and_repeated_entries_are_put_in_order_in_a_copy():
    matrix = scipy.sparse.csr_matrix(
        (np.array([0.5, 0.25, 0.25, 1.0]), np.array([2, 0, 0, 1]), np.array([0, 3, 4])), shape=(2, 3)
    )
    function = ProbabilisticSetCover(matrix)
    assert function.value(np.array([0])) == pytest.approx(1.0)  # 1/2 + (1/4 + 1/4)
    assert matrix.indices.tolist() == [2, 0, 0, 1]


def test_covers_of_few_rows_certify_themselves():
    dense = sparse(9, 12, seed=4)
    for function in (SetCover, ProbabilisticSetCover):
        for k in (1, 2, 3):
            f = oracles.probabilistic_set_cover(dense > 0 if function is SetCover else dense, np.ones(12))
            selection = maximize(function(dense), k)
            best = oracles.best_value(f, 9, k)
            assert best - 1e-9 <= selection.upper_bound
            assert selection.objective >= (1 - 1 / np.e) * best


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (scipy.sparse.csr_matrix(np.array([[0, 0.5], [0, 1.5]])), "row 1 has 1.5 in column 1; .* [0, 1]"),
        (scipy.sparse.csr_matrix(np.array([[0, 0.5], [-1, 0.0]])), "row 1 has -1 in column 0"),
        (scipy.sparse.csr_matrix(np.array([[np.nan, 0.5]])), "row 0 has nan in column 0"),
        (scipy.sparse.csr_matrix((0, 3)), r"shape \(0, 3\)"),
        (scipy.sparse.csr_matrix(np.array([[1j]])), "dtype complex128"),
        (np.array([[0.5, 2]], np.float32), "row 0 has 2 in column 1"),
        (np.ones(3, np.float32), r"shape \(3,\)"),
        ([[1, 0]], "list"),
    ],
)
def test_what_is_refused(features, words):
    with pytest.raises(
        SelectionError, match="probabilistic_set_cover: .*" + words.replace("[0, 1]", r"\[0, 1\]")
    ):
        ProbabilisticSetCover(features)


def test_weights_are_one_for_each_concept():
    for weights in (np.ones(4), -np.ones(3), np.array([1, np.inf, 1])):
        with pytest.raises(SelectionError, match="set_cover: weights must be 3 finite numbers >= 0"):
            SetCover(np.ones((2, 3), np.float32), weights)


def test_counts_cover_as_presence_does():
    counts = scipy.sparse.csr_matrix(np.array([[3, 0, 0], [1, 1, 0], [0, 0, 7]]))
    assert maximize(SetCover(counts), 3).indices.tolist() == [1, 2, 0]
    assert maximize(SetCover(counts), 3).gains.tolist() == [2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("part", "place", "value"), [("indices", 3, 99), ("indices", 0, -1), ("indptr", 2, 999)]
)
def test_entries_outside_a_matrix_are_refused(part: str, place: int, value: int) -> None:
    """As a damaged file may hold them: scipy looks at some of its numbers only."""
    matrix = scipy.sparse.csr_matrix(sparse(6, 5, 1, share=0.6))
    getattr(matrix, part)[place] = value
    with pytest.raises(
        SelectionError, match=r"the entries of the sparse features lie outside their shape \(6, 5\)"
    ):
        SetCover(matrix)
