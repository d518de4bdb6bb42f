"""What set functions that compare rows with one another have in common."""

from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.similarity import SimilarityName, similarity_of
from syllabus.selectors.numerics.products import products_of
from syllabus.selectors.validation import Vectors


class SimilarityFunction(SetFunction):
    """A set function of the similarities of rows.

    Args:
      vectors: (n, d) float32, rows as the similarity asks; not copied, but for those on another device.
      similarity: "cosine", "dot", "rbf" or `Rbf(width)`; see `similarity.py`.
    """

    def __init__(self, vectors: Vectors, similarity: SimilarityName = "cosine") -> None:
        self.rows, self.similarity = similarity_of(similarity, vectors, self.name)
        self.n = len(self.rows)
        self.products = products_of(vectors, self.rows)
        # Of a product <x, y>, and of an entry c in s = offset + slope · c.
        self.product_error = self.similarity.product_error(self.products.relative)
        self.error = self.similarity.entry_error(self.product_error)
