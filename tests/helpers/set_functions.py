"""Every set function by name over the same rows, and the brute force for it."""

import numpy as np
import oracles

from syllabus.selectors import (
    FUNCTIONS,
    DisparityMin,
    FacilityLocation,
    GraphCut,
    LogDeterminant,
    Mixture,
    valid_optimizers,
)

NAMES = (*sorted(FUNCTIONS), "mixture", "mixture_with_disparity")
GUIDED = ("facility_location_conditional_gain", "facility_location_mutual_information")
WEIGHTS = (0.1, 1.0, 30.0)


COVERS = ("probabilistic_set_cover", "set_cover")
FEATURES = ("feature_based", *COVERS)  # of rows that need no norm


def taken(name, rows):
    """Return what the function takes: features are never negative, probabilities at most 1."""
    if name == "set_cover":
        large = 0.6 * np.abs(rows).max(axis=1, keepdims=True)
        return (np.abs(rows) > large).astype(np.float32)
    if name in COVERS:
        return np.minimum(np.abs(rows), 1)
    return np.abs(rows) if name in FEATURES else rows


def importance(rows):
    """Return weights of concepts, no sum of which equals another."""
    return np.sqrt(np.arange(2, 2 + rows.shape[1]))


def references(rows):
    """Return a query or private set, (2, d): the first row and its opposite."""
    return np.stack([rows[0], -rows[0]])


def made(name, rows):
    if name == "mixture":
        return Mixture([GraphCut(rows), FacilityLocation(rows), LogDeterminant(rows)], WEIGHTS)
    if name == "mixture_with_disparity":
        return Mixture([GraphCut(rows), DisparityMin(rows)], WEIGHTS[:2])
    if name in GUIDED:
        return FUNCTIONS[name](rows, references(rows))
    if name in COVERS:
        return FUNCTIONS[name](taken(name, rows), importance(rows))
    return FUNCTIONS[name](taken(name, rows))


def kind(name, rows):
    """Return the function's constructor of vectors alone; a guided one has the references of `rows`."""
    if name in GUIDED:
        return lambda vectors: FUNCTIONS[name](vectors, references(rows))
    if name in COVERS:
        return lambda vectors: FUNCTIONS[name](vectors, importance(rows))
    return FUNCTIONS[name]


def brute(name, rows):
    if name == "mixture":
        parts = (oracles.graph_cut, oracles.facility_location, oracles.log_determinant)
        return oracles.mixture([part(rows) for part in parts], WEIGHTS)
    if name == "mixture_with_disparity":
        return oracles.mixture([oracles.graph_cut(rows), oracles.disparity_min(rows)], WEIGHTS[:2])
    if name in GUIDED:
        return getattr(oracles, name)(rows, references(rows))
    if name in COVERS:
        return oracles.probabilistic_set_cover(taken(name, rows), importance(rows))
    return getattr(oracles, name)(taken(name, rows))


def having(optimizer):
    """Return the names for which an optimiser is valid."""
    few = oracles.planted("normal", 3, 2, seed=0)
    return [name for name in NAMES if optimizer in valid_optimizers(made(name, few))]


OFFERED = [
    "graph_cut",
    "facility_location",
    "facility_location_conditional_gain",
    "facility_location_mutual_information",
]
"""Those that take costs in the job."""
