"""Nearest neighbours of rows by a similarity, for set functions that see no further."""

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions.similarity_function import SimilarityFunction
from syllabus.selectors.numerics.products import DeviceProducts
from syllabus.selectors.validation import bytes_of, whole_number

_BYTES = 48  # for a neighbour of a row, while they are put in order


class NeighbourFunction(SimilarityFunction):
    """A set function of the similarities of rows to their nearest."""

    def nearest(
        self, neighbours: int, memory_budget: int, others: NDArray[np.float32] | None = None
    ) -> NDArray[np.int64]:
        """Return the `neighbours` most similar rows of each row, or of each of `others`, in any order.

        (m, c) int64, c at most n; without others each row is one of its own. They are found by faiss, of
        vectors on another device by products there.
        """
        count = min(self.n, whole_number(neighbours, "neighbours", 1, 2**31, "[1, 2^31]", self.name))
        size = self.n if others is None else len(others)
        bytes_of(memory_budget, _BYTES * size * count, f"{count} neighbours of {size} rows", self.name)
        near = self._found(count, others)
        if others is None:
            # A row with many exact copies may not find itself.
            missing = ~(near == np.arange(self.n)[:, None]).any(axis=1)
            near[missing, -1] = np.flatnonzero(missing)
        return near

    def _found(self, count: int, others: NDArray[np.float32] | None) -> NDArray[np.int64]:
        linear = self.similarity.linear
        if others is None and isinstance(self.products, DeviceProducts):
            return self.products.nearest(count, by_distance=not linear)
        # Imported here: facility location over all rows must not need faiss.
        try:
            import faiss
        except ImportError:
            raise SelectionError(f"{self.name} needs faiss: install the extra [cpu] or [gpu]") from None
        metric = faiss.METRIC_INNER_PRODUCT if linear else faiss.METRIC_L2
        queries = self.rows if others is None else others
        return np.asarray(faiss.knn(queries, self.rows, count, metric=metric)[1])
