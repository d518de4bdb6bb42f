"""k-nearest-neighbour search by cosine, and k-means partitions (`kmeans`)."""

from syllabus.selectors.neighbours.blocked_search import (
    ROUNDING,
    Queries,
    neighbours,
    search,
    search_each_other,
)
from syllabus.selectors.neighbours.top_k import TopK

__all__ = ["ROUNDING", "Queries", "TopK", "neighbours", "search", "search_each_other"]
