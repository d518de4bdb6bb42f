"""Vectors on another device: products come from there, results are those of arrays.

Without a GPU the same lines run on tensors in main memory that are said to lie elsewhere.
"""

import numpy as np
import oracles
import pytest
import torch
from set_functions import NAMES, kind, made, taken

from syllabus.selectors import (
    DisparityMin,
    FacilityLocation,
    GraphCut,
    SparseFacilityLocation,
    explore,
    maximize,
    valid_optimizers,
)
from syllabus.selectors.numerics import products

# Mixtures are made of the others; neighbours are as near as float32 tells, and any of those that tie.
ELSEWHERE = ("mixture", "mixture_with_disparity", "sparse_facility_location", "sparse_graph_cut")

PLANTED = ("near_ties", "lattice", "opposite")


@pytest.fixture(params=["torch on the CPU", "coarse products", pytest.param("cuda", marks=pytest.mark.gpu)])
def there(request, monkeypatch):
    """Return a way to put rows on another device."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        return lambda rows: torch.from_numpy(rows).cuda()
    monkeypatch.setattr(products, "lies_elsewhere", lambda vectors: isinstance(vectors, torch.Tensor))
    if request.param == "coarse products":
        # As where torch may round the factors to bfloat16.
        monkeypatch.setattr(products, "_coarseness", lambda: 2.0**-7)
        start = products.DeviceProducts.__init__
        monkeypatch.setattr(
            products.DeviceProducts,
            "__init__",
            lambda self, rows, tensor: start(self, rows, tensor.bfloat16().float()),
        )
    return torch.from_numpy


def assert_same(found, expected):
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.gains.tolist() == expected.gains.tolist()
    assert found.objective == expected.objective


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_every_function_selects_the_same(there, name, planted):
    rows = oracles.planted(planted, 150, 17, seed=1)
    vectors = there(np.ascontiguousarray(taken(name, rows)))
    for optimizer in valid_optimizers(made(name, rows)):
        seed = 3 if optimizer in ("lazier", "stochastic") else None
        found = maximize(kind(name, rows)(vectors), 60, optimizer, seed=seed)
        expected = maximize(kind(name, rows)(taken(name, rows)), 60, optimizer, seed=seed)
        assert_same(found, expected)
        assert (found.upper_bound is None) == (expected.upper_bound is None)


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("similarity", ["cosine", "dot", "rbf"])
def test_the_three_that_are_large_do_so_in_all_their_ways(there, planted, similarity):
    rows = oracles.planted(planted, 800, 24, seed=5)
    if similarity != "cosine":
        rows = rows * np.float32(3)
    vectors = there(rows)
    for make in (GraphCut, DisparityMin):
        # The whole ranking: lists that last, lists that do not, and more picks than a chunk.
        optimizer = "naive" if make is DisparityMin else "lazy"
        budget = 200 if make is GraphCut and similarity == "rbf" else 800
        found = maximize(make(vectors, similarity=similarity), budget, optimizer)
        assert_same(found, maximize(make(rows, similarity=similarity), budget, optimizer))
    small = FacilityLocation(vectors, memory_budget=4 * 800 * 200, similarity=similarity)
    expected = maximize(FacilityLocation(rows, similarity=similarity), 100)
    assert_same(maximize(small, 100), expected)
    assert_same(maximize(FacilityLocation(vectors, similarity=similarity), 100), expected)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "rbf"])
def test_neighbours_are_found_there(similarity, monkeypatch):
    monkeypatch.setattr(products, "lies_elsewhere", lambda vectors: isinstance(vectors, torch.Tensor))
    monkeypatch.setattr(products, "_PAIRS", 7 * 200)
    scale = 1 + 2 * np.random.default_rng(0).random((200, 1)) * (similarity != "cosine")
    rows = (oracles.planted("normal", 200, 16, seed=0) * scale).astype(np.float32)
    there = SparseFacilityLocation(torch.from_numpy(rows), 9, similarity=similarity)
    assert isinstance(there.products, products.DeviceProducts)
    assert_same(maximize(there, 60), maximize(SparseFacilityLocation(rows, 9, similarity=similarity), 60))


def test_the_vectors_are_used_where_they_lie(there):
    rows = oracles.planted("normal", 300, 24, seed=0)
    vectors = there(rows)
    function = GraphCut(vectors)
    assert isinstance(function.products, products.DeviceProducts)
    if vectors.device.type == "cuda":
        assert function.products.tensor.data_ptr() == vectors.data_ptr()
        assert not np.shares_memory(function.rows, rows)
    called = []
    with_query = products.DeviceProducts.with_query
    function.products.with_query = lambda query: called.append(1) or with_query(function.products, query)
    maximize(function, 100)
    assert called
    one, other = explore(GraphCut(vectors), 20, 2, seed=0)
    assert one.indices.tolist() != other.indices.tolist()


def test_tensors_in_main_memory_are_not_another_device():
    rows = oracles.planted("normal", 30, 8, seed=0)
    function = GraphCut(torch.from_numpy(rows))
    assert type(function.products) is products.Products
    assert np.shares_memory(function.rows, rows)


def test_the_rounding_that_torch_is_allowed_widens_the_bounds():
    tensor = torch.from_numpy(oracles.planted("normal", 30, 8, seed=0))
    before = torch.get_float32_matmul_precision()
    try:
        widths = []
        for precision in ("highest", "high", "medium"):
            torch.set_float32_matmul_precision(precision)
            widths.append(products.DeviceProducts(tensor.numpy(), tensor).relative)
    finally:
        torch.set_float32_matmul_precision(before)
    assert widths[0] < widths[1] < widths[2]
