"""k-nearest-neighbour search by cosine, and k-means partitions."""

from syllabus.selectors.neighbours.blocked_search import (
    ROUNDING,
    TILE,
    Queries,
    TopK,
    neighbours,
    product,
    product_on_device,
    search,
    search_each_other,
)

__all__ = [
    "ROUNDING",
    "TILE",
    "Queries",
    "TopK",
    "neighbours",
    "product",
    "product_on_device",
    "search",
    "search_each_other",
]
