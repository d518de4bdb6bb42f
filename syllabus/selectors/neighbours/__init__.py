"""Neighbours: the nearest rows of each row, and k-means."""

from syllabus.selectors.neighbours.blocked_search import (
    ROUNDING,
    TILE,
    Nearest,
    Searched,
    neighbours,
    product,
    product_on_device,
    search,
    search_each_other,
)

__all__ = [
    "ROUNDING",
    "TILE",
    "Nearest",
    "Searched",
    "neighbours",
    "product",
    "product_on_device",
    "search",
    "search_each_other",
]
