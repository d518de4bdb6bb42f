"""k-nearest-neighbour search by cosine, covers of near-duplicates, and k-means partitions (`kmeans`)."""

from syllabus.selectors.neighbours.blocked_search import (
    ROUNDING,
    Queries,
    neighbours,
    search,
    search_each_other,
)
from syllabus.selectors.neighbours.cover import greedy_cover
from syllabus.selectors.neighbours.flat_index import by_faiss_on_gpu, faiss_has_gpu
from syllabus.selectors.neighbours.separation import (
    Separation,
    least_cosine,
    nearest_quantiles,
    pair_cosines,
    relative_threshold,
    separation_of,
)
from syllabus.selectors.neighbours.top_k import TopK

__all__ = [
    "ROUNDING",
    "Queries",
    "Separation",
    "TopK",
    "by_faiss_on_gpu",
    "faiss_has_gpu",
    "greedy_cover",
    "least_cosine",
    "nearest_quantiles",
    "neighbours",
    "pair_cosines",
    "relative_threshold",
    "search",
    "search_each_other",
    "separation_of",
]
