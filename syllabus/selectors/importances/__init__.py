"""Importances: probabilities to draw examples by, and how often each is then drawn."""

from syllabus.selectors.importances.inclusion import inclusion_probabilities
from syllabus.selectors.importances.probabilities import (
    effective_sample_size,
    insertion_radii,
    published_probabilities,
    tempered_probabilities,
    unreachable_share,
)

__all__ = [
    "effective_sample_size",
    "inclusion_probabilities",
    "insertion_radii",
    "published_probabilities",
    "tempered_probabilities",
    "unreachable_share",
]
