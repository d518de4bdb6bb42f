"""What the selectors accept and what they refuse: one line that names the item, the value and the bound."""

import numpy as np
import oracles
import pytest
import torch
from set_functions import COVERS, FEATURES, kind, made, taken

from syllabus.selectors import (
    FUNCTIONS,
    DisparityMin,
    FacilityLocation,
    FacilityLocationConditionalGain,
    FacilityLocationMutualInformation,
    FeatureBased,
    GraphCut,
    LogDeterminant,
    Mixture,
    SaturatedCoverage,
    SelectionError,
    explore,
    herding,
    kmeans,
    maximize,
    random_value,
    valid_optimizers,
    validation,
)

ROWS = oracles.planted("normal", 30, 8, seed=0)


def changed(row, column, value):
    rows = ROWS.copy()
    rows[row, column] = value
    return rows


def refuses(words, call, *arguments, **options):
    with pytest.raises(SelectionError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (changed(17, 3, np.nan), ["row 17", "NaN"]),
        (changed(4, 0, np.inf), ["row 4", "infinity"]),
        (np.where(np.arange(30)[:, None] == 9, 0, ROWS).astype(np.float32), ["row 9", "norm 0", "0.0001"]),
        (np.where(np.arange(30)[:, None] == 9, 3 * ROWS, ROWS).astype(np.float32), ["row 9", "norm 3"]),
        (ROWS[0], ["(8,)", "(n, d)"]),
        (ROWS[:, :, None], ["(30, 8, 1)", "(n, d)"]),
        (ROWS[:0], ["(0, 8)", "at least 1"]),
        (ROWS[:, :0], ["(30, 0)"]),
        (ROWS.astype(np.complex64), ["complex64", "real numbers"]),
        (torch.from_numpy(ROWS) > 0, ["torch.bool", "real numbers"]),
        (ROWS.tolist(), ["list", "array"]),
    ],
)
def test_vectors(name, vectors, words):
    if name in FEATURES and "norm" in " ".join(words):
        return  # features need no norm
    refuses([name, *words], kind(name, ROWS), vectors)


@pytest.mark.parametrize("budget", [0, -1, 31, 2.0, True, "3", None])
def test_budgets(budget):
    for function in (GraphCut(ROWS), DisparityMin(ROWS), FacilityLocation(ROWS)):
        refuses([function.name, f"budget={budget!r}", "[1, n=30]"], maximize, function, budget, "naive")
        refuses(["budget=", "[1, n=30]"], explore, function, budget, 2, seed=0)
        refuses(["budget=", "[1, n=30]"], random_value, function, budget, 2, seed=0)


def test_names_and_pairs():
    refuses(["'lazyy'", "lazier, lazy, naive, stochastic"], maximize, GraphCut(ROWS), 3, "lazyy")
    refuses(["disparity_min", "'lazy'", "naive, stochastic"], maximize, DisparityMin(ROWS), 3, "lazy")
    refuses(["ndarray", "set function"], maximize, ROWS, 3)


def test_seeds():
    function = GraphCut(ROWS)
    refuses(["seed", "missing"], maximize, function, 3, "stochastic")
    refuses(["seed=4", "'lazy'"], maximize, function, 3, "lazy", seed=4)
    for seed in (-1, 2**64, 0.5, (), (1, -2), "ab"):
        refuses(["seed"], maximize, function, 3, "stochastic", seed=seed)
    for epsilon in (0, 1, -0.1, 160, float("nan"), "x"):
        refuses(["epsilon", "(0, 1)"], maximize, function, 3, "stochastic", seed=0, epsilon=epsilon)
    for subsets in (0, -1, 1.5):
        refuses([f"subsets={subsets}"], explore, function, 3, subsets, seed=0)
    refuses(["draws=0"], random_value, function, 3, 0, seed=0)
    refuses(["seed", "missing"], random_value, function, 3, 2, seed=None)


def test_options_of_the_functions():
    for trade_off in (-0.1, float("nan"), float("inf"), "0.4", None):
        refuses(["graph_cut", "trade_off", "[0, inf)"], GraphCut, ROWS, trade_off=trade_off)
    refuses(["memory_budget=1000", "bytes"], FacilityLocation, ROWS, memory_budget=1000)


def test_indices():
    function = GraphCut(ROWS)
    refuses(["index 30", "[0, n=30)"], function.value, np.array([1, 30]))
    refuses(["index -1"], function.value, np.array([-1]))
    refuses(["index 4", "more than once"], function.value, np.array([4, 2, 4]))
    refuses(["float64"], function.value, np.array([1.0]))
    refuses(["(1, 2)"], function.value, np.array([[1, 2]]))
    assert function.value(np.array([], np.int64)) == 0.0
    assert function.value([3, 1]) == function.value((1, 3))


def test_clusters_and_orders():
    refuses(["clusters=31", "n=30"], kmeans.fit, ROWS, 31, 0)
    refuses(["clusters=0"], kmeans.fit, ROWS, 0, 0)
    refuses(["seed"], kmeans.fit, ROWS, 3, None)
    refuses(["row 17"], kmeans.fit, changed(17, 3, np.nan), 3, 0)
    refuses(["8 columns", "7"], kmeans.assign, ROWS, ROWS[:3, :7])
    refuses(["balance", "row 17"], herding.balance, changed(17, 3, np.nan))
    refuses(["passes=0"], herding.balance, ROWS, passes=0)
    refuses(["29", "n=30"], herding.balance, ROWS, start=np.arange(29))
    refuses(["index 3", "more than once"], herding.discrepancy, ROWS, [3] * 30)
    refuses(["index 30"], herding.discrepancy, ROWS, np.arange(1, 31))
    refuses(["greedy", "(8,)"], herding.greedy, ROWS[0])


def test_rows_need_a_norm_of_one_within_the_tolerance():
    for name in FUNCTIONS:
        function = kind(name, ROWS)
        if name in FEATURES:
            continue
        function((ROWS * (1 + 0.9e-4)).astype(np.float32))
        refuses([name, "row 0"], function, (ROWS * (1 + 1.1e-4)).astype(np.float32))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_tensors_and_strided_arrays_are_the_same_as_arrays(name):
    optimizer = "naive"
    expected = maximize(made(name, ROWS), 10, optimizer)
    rows = taken(name, ROWS)
    tensor = torch.from_numpy(rows)
    wide = np.empty((30, 16), np.float32)
    wide[:, ::2] = rows
    for vectors in (tensor, tensor.clone().requires_grad_(), wide[:, ::2], np.asfortranarray(rows)):
        found = maximize(kind(name, ROWS)(vectors), 10, optimizer)
        assert found.indices.tolist() == expected.indices.tolist()
        assert found.gains.tolist() == expected.gains.tolist()
    if name not in COVERS:  # they keep the entries
        assert np.shares_memory(kind(name, ROWS)(tensor).rows, tensor.numpy())


def test_nothing_writes_to_the_vectors():
    rows = ROWS.copy()
    rows.flags.writeable = False
    for name in FUNCTIONS:
        function = kind(name, ROWS)
        maximize(function(taken(name, rows)), 30, "naive")
        explore(function(taken(name, rows)), 5, 2, seed=0)
        if "lazy" in valid_optimizers(FUNCTIONS[name]):
            maximize(function(taken(name, rows)), 30, "lazy")
    order = herding.balance(rows)
    herding.greedy(rows)
    herding.discrepancy(rows, order)
    kmeans.assign(rows, kmeans.fit(rows, 3, seed=0))
    assert rows.tobytes() == ROWS.tobytes()


def test_a_single_row():
    one = ROWS[:1]
    assert maximize(DisparityMin(one), 1, "naive").gains.tolist() == [0.0]
    assert maximize(FacilityLocation(one), 1).objective == pytest.approx(1.0)
    assert maximize(GraphCut(one), 1).objective == pytest.approx(0.6)
    assert herding.balance(one).tolist() == [0]
    assert kmeans.fit(one, 1, seed=0).tolist() == one.tolist()


@pytest.mark.gpu
def test_tensors_on_a_gpu_are_the_same_as_arrays():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for name in FUNCTIONS:
        function = kind(name, ROWS)
        rows = taken(name, ROWS)
        expected = maximize(function(rows), 10, "naive")
        found = maximize(function(torch.from_numpy(rows).cuda()), 10, "naive")
        assert found.indices.tolist() == expected.indices.tolist(), name
    with pytest.raises(SelectionError, match="row 17"):
        validation.unit_rows(torch.from_numpy(changed(17, 3, np.nan)).cuda(), "here")


def test_features_and_their_curve():
    refuses(["feature_based", "row 0", ">= 0"], FeatureBased, ROWS)
    rows = np.abs(ROWS)
    refuses(["'cube'", "log, power, sqrt"], FeatureBased, rows, curve="cube")
    for power in (0.0, 1.0, -0.5, float("nan"), 2):
        refuses(["power", "(0, 1)"], FeatureBased, rows, curve="power", power=power)
    refuses(["power=None"], FeatureBased, rows, curve="power")
    refuses(["power=0.5", "'sqrt'"], FeatureBased, rows, power=0.5)
    refuses(["8 finite numbers"], FeatureBased, rows, weights=np.ones(7))
    refuses(["8 finite numbers"], FeatureBased, rows, weights=-np.ones(8))


def test_options_of_the_other_functions():
    for share in (0, 1.1, -1, float("nan"), None):
        refuses(["saturated_coverage", "share", "(0, 1]"], SaturatedCoverage, ROWS, share=share)
    for regularisation in (0, -1, float("inf"), None):
        refuses(["regularisation", "[1e-6, inf)"], LogDeterminant, ROWS, regularisation=regularisation)
    refuses(["0 parts"], Mixture, [], [])
    refuses(["1 parts", "2 weights"], Mixture, [GraphCut(ROWS)], [1, 2])
    refuses(["weight=0", "(0, inf)"], Mixture, [GraphCut(ROWS)], [0])
    refuses(["n=20", "n=30"], Mixture, [GraphCut(ROWS), GraphCut(ROWS[:20])], [1, 1])


def test_included_and_excluded_rows():
    function = GraphCut(ROWS)
    refuses(["include", "index 30", "[0, n=30)"], maximize, function, 3, include=[30])
    refuses(["exclude", "index -1"], maximize, function, 3, exclude=[-1])
    refuses(["include", "index 4", "more than once"], maximize, function, 3, include=[4, 4])
    refuses(["index 4", "include and in exclude"], maximize, function, 3, include=[4], exclude=[3, 4])
    refuses(["budget=2", "[3, 30]"], maximize, function, 2, include=[1, 2, 3])
    refuses(["budget=29", "[0, 28]"], maximize, function, 29, exclude=[1, 2])


def test_a_mixture_says_which_optimisers_its_parts_allow():
    mixed = made("mixture_with_disparity", ROWS)
    refuses(["mixture", "'lazy'", "naive, stochastic"], maximize, mixed, 3, "lazy")
    refuses(["mixture", "'lazier'", "naive, stochastic"], maximize, mixed, 3, "lazier", seed=0)
    refuses(["'lazy'", "no chance", "lazier, stochastic"], explore, GraphCut(ROWS), 3, 2, 0, optimizer="lazy")


def test_reference_rows():
    for function in (FacilityLocationConditionalGain, FacilityLocationMutualInformation):
        refuses([function.name, "7 columns", "8"], function, ROWS, np.eye(7, dtype=np.float32))
        refuses([function.name, "row 0", "norm 2"], function, ROWS, 2 * np.eye(8, dtype=np.float32))
    refuses(["hardness=-1", "[0, inf)"], FacilityLocationConditionalGain, ROWS, ROWS[:2], hardness=-1)
    refuses(["relevance=nan"], FacilityLocationMutualInformation, ROWS, ROWS[:2], relevance=float("nan"))


def test_a_guided_selection_turns_to_the_query_and_from_the_private_rows():
    rows = oracles.planted("clusters", 200, 8, seed=0)
    query = rows[:1]
    towards = maximize(FacilityLocationMutualInformation(rows, query), 10).indices
    away = maximize(FacilityLocationConditionalGain(rows, query), 10).indices
    similar = rows @ query[0]
    assert similar[towards].min() >= np.sort(similar)[-10]
    cluster = similar > 0.9
    assert cluster.sum() >= 20
    assert not cluster[away[:2]].any()
    plain = maximize(FacilityLocation(rows), 10).indices
    assert (
        maximize(FacilityLocationConditionalGain(rows, query, hardness=0), 10).indices.tolist()
        == plain.tolist()
    )
