"""Selection and ordering of examples: arrays in, row numbers and gains out; no files, Beam or logging.

Set functions (one class each, `Mixture` of them) × optimisers (`maximize`), subsets for the easy phase
(`explore`), selection in parts (`bound`, `rand_greedi`), probabilities for the hard phase (`importances`),
orders (`herding`), partitions (`kmeans`).
"""

from syllabus.selectors import balancing, herding, importances
from syllabus.selectors.errors import SelectionError
from syllabus.selectors.functions import FUNCTIONS
from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.conditional_gain import FacilityLocationConditionalGain
from syllabus.selectors.functions.disparity_min import DisparityMin
from syllabus.selectors.functions.disparity_sum import DisparitySum
from syllabus.selectors.functions.facility_location import FacilityLocation
from syllabus.selectors.functions.feature_based import FeatureBased
from syllabus.selectors.functions.graph_cut import GraphCut
from syllabus.selectors.functions.log_determinant import LogDeterminant
from syllabus.selectors.functions.mixture import Mixture
from syllabus.selectors.functions.mutual_information import FacilityLocationMutualInformation
from syllabus.selectors.functions.saturated_coverage import SaturatedCoverage
from syllabus.selectors.functions.set_cover import ProbabilisticSetCover, SetCover
from syllabus.selectors.functions.similarity import Rbf
from syllabus.selectors.functions.sparse_facility_location import SparseFacilityLocation
from syllabus.selectors.functions.sparse_graph_cut import SparseGraphCut
from syllabus.selectors.importances.inclusion import inclusion_probabilities
from syllabus.selectors.neighbours import kmeans
from syllabus.selectors.optimizers.baseline import random_value, random_value_within
from syllabus.selectors.optimizers.dispatch import OPTIMIZERS, valid_optimizers
from syllabus.selectors.optimizers.explore import explore, explore_within
from syllabus.selectors.optimizers.maximize import maximize, maximize_within
from syllabus.selectors.optimizers.sieve_streaming import sieve
from syllabus.selectors.partitioned.bounding import Bounds, bound
from syllabus.selectors.partitioned.rand_greedi import rand_greedi, random_parts
from syllabus.selectors.selection import Selection

__all__ = [
    "FUNCTIONS",
    "OPTIMIZERS",
    "Bounds",
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
    "SparseGraphCut",
    "balancing",
    "bound",
    "explore",
    "explore_within",
    "herding",
    "importances",
    "inclusion_probabilities",
    "kmeans",
    "maximize",
    "maximize_within",
    "rand_greedi",
    "random_parts",
    "random_value",
    "random_value_within",
    "sieve",
    "valid_optimizers",
]
