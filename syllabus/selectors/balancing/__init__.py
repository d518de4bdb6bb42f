"""Vector balancing by signed walks, and the orders they give; over tensors in `balancing.vectors`."""

from syllabus.selectors.balancing.count_sketch import add_sketch
from syllabus.selectors.balancing.walks import (
    NO_DRAWS,
    Halving,
    bound,
    pair_walk,
    products_walk,
    reorder,
    reorder_pairs,
    signed_walk,
)

__all__ = [
    "NO_DRAWS",
    "Halving",
    "add_sketch",
    "bound",
    "pair_walk",
    "products_walk",
    "reorder",
    "reorder_pairs",
    "signed_walk",
]
