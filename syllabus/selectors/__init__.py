"""Which examples, and in which order: arrays in, row numbers and gains out. No files, no Beam, no logging.

Set functions (one class each, `Mixture` of them) × optimisers (`maximize`), subsets for the easy phase
(`explore`), probabilities for the hard one (`importances`), orders (`herding`), partitions (`kmeans`).
"""

from . import balancing, herding, importances, kmeans
from .conditional_gain import FacilityLocationConditionalGain
from .disparity_min import DisparityMin
from .disparity_sum import DisparitySum
from .errors import SelectionError
from .facility_location import FacilityLocation
from .feature_based import FeatureBased
from .graph_cut import GraphCut
from .inclusion import inclusion_probabilities
from .knapsack import maximize_within
from .log_determinant import LogDeterminant
from .maximize import FUNCTIONS, OPTIMIZERS, maximize, random_value, random_value_within, valid_optimizers
from .mixture import Mixture
from .mutual_information import FacilityLocationMutualInformation
from .probabilistic_set_cover import ProbabilisticSetCover
from .saturated_coverage import SaturatedCoverage
from .selection import Selection
from .set_cover import SetCover
from .set_function import SetFunction
from .sge import explore, explore_within
from .sieve import sieve
from .similarity import Rbf
from .sparse_facility_location import SparseFacilityLocation

__all__ = [
    "FUNCTIONS",
    "OPTIMIZERS",
    "DisparityMin",
    "DisparitySum",
    "FacilityLocation",
    "FacilityLocationConditionalGain",
    "FacilityLocationMutualInformation",
    "FeatureBased",
    "GraphCut",
    "LogDeterminant",
    "Mixture",
    "ProbabilisticSetCover",
    "Rbf",
    "SaturatedCoverage",
    "Selection",
    "SelectionError",
    "SetCover",
    "SetFunction",
    "SparseFacilityLocation",
    "balancing",
    "explore",
    "explore_within",
    "herding",
    "importances",
    "inclusion_probabilities",
    "kmeans",
    "maximize",
    "maximize_within",
    "random_value",
    "random_value_within",
    "sieve",
    "valid_optimizers",
]
