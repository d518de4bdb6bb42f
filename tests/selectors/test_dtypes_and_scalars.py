"""Arrays of every real dtype and scalars of NumPy and torch: converted once, what is kept is Python's own."""

import json

import numpy as np
import oracles
import pytest
import torch
from set_functions import GUIDED, kind, references, taken

from syllabus.selectors import (
    FUNCTIONS,
    FacilityLocationConditionalGain,
    FacilityLocationMutualInformation,
    FeatureBased,
    GraphCut,
    LogDeterminant,
    Mixture,
    ProbabilisticSetCover,
    Rbf,
    SaturatedCoverage,
    SelectionError,
    SparseFacilityLocation,
    explore,
    explore_within,
    herding,
    importances,
    inclusion_probabilities,
    kmeans,
    maximize,
    maximize_within,
    neighbours,
    random_value,
    random_value_within,
    sieve,
)
from syllabus.selectors.balancing.vectors import DenseVectors
from syllabus.selectors.validation import as_rows, python_number

ROWS = oracles.planted("normal", 40, 32, seed=0)
WHOLE = np.random.default_rng(0).integers(0, 9, (40, 5))
LEVELS = (WHOLE / 8).astype(np.float32)  # exact in every dtype of floats

KINDS = [
    lambda rows: rows.astype(np.float64),
    lambda rows: rows.astype(np.longdouble),
    lambda rows: rows.astype(">f4"),
    lambda rows: torch.from_numpy(rows).double(),
]
HALVES = [
    lambda rows: rows.astype(np.float16),
    lambda rows: torch.from_numpy(rows).half(),
    lambda rows: torch.from_numpy(rows).bfloat16(),
]
SCALARS = [np.float32, np.float64, np.longdouble, np.array, torch.tensor]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("cast", KINDS)
def test_functions_take_float64_as_its_float32(name, cast):
    rows = taken(name, ROWS)
    function = kind(name, ROWS)
    expected = maximize(function(rows), 8, "naive")
    found = maximize(function(cast(rows)), 8, "naive")
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.gains.tolist() == expected.gains.tolist()
    if name in GUIDED:
        both = FUNCTIONS[name](cast(ROWS), cast(references(ROWS)))
        assert maximize(both, 8, "naive").gains.tolist() == expected.gains.tolist()


@pytest.mark.parametrize("cast", KINDS + HALVES)
def test_functions_over_arrays_take_every_real_dtype(cast):
    rows, given = LEVELS, cast(LEVELS)
    order = herding.balance(rows)
    assert herding.balance(given).tolist() == order.tolist()
    for refine in (herding.pair, herding.greedy):
        assert refine(given).tolist() == refine(rows).tolist()
    assert herding.window(given, order, 8).tolist() == herding.window(rows, order, 8).tolist()
    assert herding.discrepancy(given, order).l2 == herding.discrepancy(rows, order).l2
    centroids = kmeans.fit(rows, 3, seed=0)
    assert kmeans.fit(given, 3, seed=0).tolist() == centroids.tolist()
    assert kmeans.assign(given, centroids).tolist() == kmeans.assign(rows, centroids).tolist()
    for function in (
        FeatureBased,
        ProbabilisticSetCover,
        lambda vectors: GraphCut(vectors, similarity="dot"),
        lambda vectors: LogDeterminant(vectors, similarity="dot"),
    ):
        assert maximize(function(given), 5).gains.tolist() == maximize(function(rows), 5).gains.tolist()
    assert sieve([given, given], FeatureBased, 4).objective == sieve([rows, rows], FeatureBased, 4).objective


def test_neighbours_take_float64():
    for found, expected in zip(
        neighbours.neighbours(ROWS.astype(np.float64), 3), neighbours.neighbours(ROWS, 3), strict=True
    ):
        assert found.tolist() == expected.tolist()


def test_whole_numbers_are_numbers():
    rows = WHOLE.astype(np.float32)
    for dtype in (np.int64, np.uint8, np.int32):
        assert herding.pair(WHOLE.astype(dtype)).tolist() == herding.pair(rows).tolist()
        assert (
            maximize(FeatureBased(WHOLE.astype(dtype)), 5).gains.tolist()
            == maximize(FeatureBased(rows), 5).gains.tolist()
        )
    assert kmeans.fit(torch.from_numpy(WHOLE), 3, seed=0).tolist() == kmeans.fit(rows, 3, seed=0).tolist()


def test_probabilities_of_concepts_keep_float64():
    p = np.random.default_rng(0).random((20, 4))
    p[3] = 1e-60  # 0 in float32: a concept lost
    found = maximize(ProbabilisticSetCover(p), 20)
    assert found.objective == pytest.approx((1 - (1 - p).prod(axis=0)).sum(), rel=1e-15)
    assert ProbabilisticSetCover(p).value([3]) == pytest.approx(4e-60, rel=1e-12)


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.where(np.eye(3) > 0, 1e39, 0.5), r"row 0 has 1e\+39 in column 0; .*float32, at most 3.4e38"),
        (torch.tensor([[1.0, 2.0], [3.0, -1e300]], dtype=torch.float64), r"row 1 has -1e\+300 in column 1"),
        (np.array([[1.0, np.nan], [1e39, 1.0]]), "row 0 contains NaN"),
        (np.ones((3, 2), np.complex64), "dtype complex64; expected real numbers"),
        (np.ones((3, 2), bool), "dtype bool; expected real numbers"),
        (np.full((3, 2), "1"), "dtype <U1; expected real numbers"),
        (torch.ones(3, 2, dtype=torch.bool), "dtype torch.bool; expected real numbers"),
    ],
)
def test_what_float32_cannot_hold_is_refused(vectors, words):
    for call in (
        herding.balance, herding.pair, herding.greedy, FeatureBased,
        lambda rows: kmeans.fit(rows, 2, seed=0), lambda rows: LogDeterminant(rows, similarity="dot"),
    ):  # fmt: skip
        with pytest.raises(SelectionError, match=words) as caught:
            call(vectors)
        assert "\n" not in str(caught.value)


def test_short_floats_that_miss_a_norm_of_one_say_what_helps():
    rows = torch.from_numpy(oracles.planted("normal", 20, 4, seed=1))
    with pytest.raises(SelectionError, match=r"within 0\.0001; normalise them after widening to float32"):
        GraphCut(rows.bfloat16())
    GraphCut(torch.nn.functional.normalize(rows.bfloat16().float()))


def test_float32_is_still_not_copied():
    assert np.shares_memory(as_rows(ROWS, "here"), ROWS)


def test_blocks_of_gradients_take_other_floats():
    rows = torch.from_numpy(LEVELS)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        assert torch.equal(DenseVectors(rows.to(dtype)).rows, rows)


@pytest.mark.parametrize("scalar", SCALARS)
def test_options_become_pythons_own(scalar):
    half = scalar(0.5)
    kept = {
        "trade_off": GraphCut(ROWS, half).trade_off,
        "share": SaturatedCoverage(ROWS, half).share,
        "regularisation": LogDeterminant(ROWS, half).regularisation,
        "hardness": FacilityLocationConditionalGain(ROWS, ROWS[:1], half).hardness,
        "relevance": FacilityLocationMutualInformation(ROWS, ROWS[:1], half).relevance,
        "power": FeatureBased(LEVELS, "power", half).power,
        "width": Rbf(half).width,
        "weight": Mixture([GraphCut(ROWS)], [half]).weights[0],
    }
    assert {name: type(value) for name, value in kept.items()} == dict.fromkeys(kept, float)
    assert set(json.loads(json.dumps(kept)).values()) == {0.5}
    function, costs = GraphCut(ROWS), np.ones(40, np.float16)
    expected = explore(function, 5, 2, 3, epsilon=0.5)[1].indices.tolist()
    assert explore(function, 5, 2, 3, epsilon=half)[1].indices.tolist() == expected
    within = maximize_within(function, costs, scalar(5.0), power=half)
    assert within.indices.tolist() == maximize_within(function, np.ones(40), 5, power=0.5).indices.tolist()
    assert sieve([LEVELS], FeatureBased, 3, epsilon=half).objective > 0
    p = importances.tempered_probabilities(np.arange(9.0), half)
    assert p.tolist() == importances.tempered_probabilities(np.arange(9.0), 0.5).tolist()
    assert neighbours.neighbours(ROWS, 1, half)[2].tolist() == neighbours.neighbours(ROWS, 1, 0.5)[2].tolist()


@pytest.mark.parametrize("scalar", [np.int64, np.uint8, np.array, torch.tensor])
def test_whole_options_become_pythons_own(scalar):
    function, two = GraphCut(ROWS), scalar(2)
    assert maximize(function, two).indices.tolist() == maximize(function, 2).indices.tolist()
    expected = [each.indices.tolist() for each in explore(function, 2, 2, 2)]
    assert [each.indices.tolist() for each in explore(function, two, two, two)] == expected
    assert [each.indices.tolist() for each in explore(function, 2, two, (two,))] == expected
    assert [each.indices.tolist() for each in explore(function, 2, 2, np.array([2]))] == expected
    assert random_value(function, two, two, two) == random_value(function, 2, 2, 2)
    costs = torch.ones(40)
    assert random_value_within(function, costs, two, two, two) == random_value(function, 2, 2, 2)
    assert len(explore_within(function, costs, two, two, two)) == 2
    assert kmeans.fit(ROWS, two, two).tolist() == kmeans.fit(ROWS, 2, 2).tolist()
    assert herding.balance(ROWS, two).tolist() == herding.balance(ROWS, 2).tolist()
    assert herding.window(ROWS, torch.arange(40), two).tolist() == herding.window(ROWS, range(40), 2).tolist()
    assert neighbours.neighbours(ROWS, two)[0].shape == (40, 2)
    assert inclusion_probabilities(np.ones(4), two).tolist() == inclusion_probabilities([1] * 4, 2).tolist()
    SparseFacilityLocation(ROWS, two, memory_budget=np.int64(2**20))
    assert GraphCut(ROWS).value(torch.tensor([1, 2])) == GraphCut(ROWS).value([1, 2])
    assert GraphCut(ROWS).value([scalar(1), two]) == GraphCut(ROWS).value([1, 2])


def test_importances_and_weights_take_tensors_of_any_float():
    scores = np.arange(6, dtype=np.float16)
    for given in (
        scores,
        torch.arange(6.0).bfloat16(),
        torch.arange(6.0, requires_grad=True),
        list(range(6)),
    ):
        assert (
            importances.insertion_radii(given).tolist()
            == importances.insertion_radii(np.arange(6.0)).tolist()
        )
        assert importances.published_probabilities(given).dtype == np.float64
        assert inclusion_probabilities(given, 2).sum() == pytest.approx(2)
        assert FeatureBased(np.ones((4, 6)), weights=given).weights.tolist() == list(range(6))
        assert ProbabilisticSetCover(np.ones((4, 6)), weights=given).weights.tolist() == list(range(6))


@pytest.mark.parametrize(
    "value",
    [True, np.True_, np.array(True), torch.tensor(True), "0.5", None, 1j, np.complex64(1), np.ones(1),
     np.ones((3, 3)), torch.ones(1), np.datetime64(1, "ns"), np.timedelta64(1, "ns"), 10**400, float("nan")],
)  # fmt: skip
def test_what_is_no_real_number_is_refused_in_one_line(value):
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        assert python_number(value) is None
    for call in (
        lambda: GraphCut(ROWS, value),
        lambda: Mixture([GraphCut(ROWS)], [value]),
        lambda: Rbf(value),
        lambda: maximize(GraphCut(ROWS), value),
        lambda: explore(GraphCut(ROWS), 2, 2, 0, epsilon=value),
        lambda: explore(GraphCut(ROWS), 2, 2, value),
        lambda: maximize_within(GraphCut(ROWS), np.ones(40), value),
        lambda: sieve([LEVELS], FeatureBased, 3, epsilon=value),
        lambda: importances.tempered_probabilities(np.arange(9.0), value),
        lambda: kmeans.fit(ROWS, value, 0),
    ):
        with pytest.raises(SelectionError) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 200


def test_budgets_of_bytes_are_numbers():
    assert LogDeterminant(ROWS, memory_budget=np.float32(2**20)).memory_budget == 2**20
    for value in (np.True_, "1", None, float("nan"), float("inf"), np.ones(2), -1):
        with pytest.raises(SelectionError, match="is not a number of bytes"):
            LogDeterminant(ROWS, memory_budget=value)


def test_numbers_of_thousands_of_digits_are_not_written_out():
    with pytest.raises(SelectionError, match="trade_off=a number of thousands of digits is outside"):
        GraphCut(ROWS, 10**5000)
    with pytest.raises(SelectionError, match="budget=a number of thousands of digits"):
        maximize(GraphCut(ROWS), 10**5000)


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ([[0.5, 1.2]], "dtype float64; expected"),
        ([[0, -1]], "index -1"),
        ([["a"]], "expected real numbers"),
        ([[[1, 2], [3]]], "unlike lengths"),
        (np.empty((0, 3)), "orders is empty"),
    ],
)
def test_orders_that_are_no_row_numbers_are_refused(orders, words):
    with pytest.raises(SelectionError, match=words):
        herding.interleave(orders)
