"""Which examples, and in which order: arrays in, row numbers and gains out. No files, no Beam, no logging.

Set functions (`GraphCut`, `FacilityLocation`, `DisparityMin`) × optimisers (`maximize`), subsets for the easy
phase (`explore`), probabilities for the hard one (`importances`), orders (`herding`), partitions (`kmeans`).
"""

from . import balancing, herding, importances, kmeans
from .disparity_min import DisparityMin
from .errors import SelectionError
from .facility_location import FacilityLocation
from .graph_cut import GraphCut
from .maximize import FUNCTIONS, OPTIMIZERS, maximize, random_value, valid_optimizers
from .selection import Selection
from .sge import explore

__all__ = [
    "FUNCTIONS",
    "OPTIMIZERS",
    "DisparityMin",
    "FacilityLocation",
    "GraphCut",
    "Selection",
    "SelectionError",
    "balancing",
    "explore",
    "herding",
    "importances",
    "kmeans",
    "maximize",
    "random_value",
    "valid_optimizers",
]
