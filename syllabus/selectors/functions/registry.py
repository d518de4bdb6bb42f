"""Registry of the set functions by name."""

from syllabus.selectors.functions.base import SetFunction
from syllabus.selectors.functions.conditional_gain import FacilityLocationConditionalGain
from syllabus.selectors.functions.disparity_min import DisparityMin
from syllabus.selectors.functions.disparity_sum import DisparitySum
from syllabus.selectors.functions.facility_location import FacilityLocation
from syllabus.selectors.functions.feature_based import FeatureBased
from syllabus.selectors.functions.graph_cut import GraphCut
from syllabus.selectors.functions.log_determinant import LogDeterminant
from syllabus.selectors.functions.mutual_information import FacilityLocationMutualInformation
from syllabus.selectors.functions.saturated_coverage import SaturatedCoverage
from syllabus.selectors.functions.set_cover import ProbabilisticSetCover, SetCover
from syllabus.selectors.functions.sparse_facility_location import SparseFacilityLocation
from syllabus.selectors.functions.sparse_graph_cut import SparseGraphCut

FUNCTIONS: dict[str, type[SetFunction]] = {
    function.name: function
    for function in (
        DisparityMin,
        DisparitySum,
        FacilityLocation,
        FacilityLocationConditionalGain,
        FacilityLocationMutualInformation,
        FeatureBased,
        GraphCut,
        LogDeterminant,
        ProbabilisticSetCover,
        SaturatedCoverage,
        SetCover,
        SparseFacilityLocation,
        SparseGraphCut,
    )
}
