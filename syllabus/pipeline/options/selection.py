"""Options of subsets, importances and orders, and of the search for near neighbours."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from syllabus.pipeline.errors import quoted, suggestion
from syllabus.pipeline.options.base import Group

RANKED_BY = {
    "disparity_min": "disparity_min",
    "facility_location": "facility_location",
    "graph_cut": "graph_cut",
    "radius": "disparity_min",
}
"""The function whose greedy ranking of all rows an importance is made from."""

MOST_SUBSETS = 100_000
"""Of a fraction: more than anyone's epochs; what they take on the disk is checked when the rows are known."""

GUIDED_BY = {
    "facility_location_mutual_information": "query",
    "facility_location_conditional_gain": "private",
}
"""The option that names the rows which an objective compares with."""


class Importance(NamedTuple):
    """An importance as it stands in the manifest."""

    name: str
    base: str
    """A key of `RANKED_BY`."""
    ess: float | None
    """Effective sample size of its tempered probabilities; None for the published map."""


class Selection(Group):
    """Subsets of the easy phase, importances of the hard phase, and orders."""

    fraction: tuple[float, ...] = Field(
        (0.1,), description="Share of the examples in a subset, above 0, at most 1; may be given again."
    )
    objective: Literal[
        "graph_cut",
        "facility_location",
        "facility_location_mutual_information",
        "facility_location_conditional_gain",
    ] = Field(
        "graph_cut",
        description="Representative function of the easy subsets; the last two are guided by --query and"
        " --private.",
    )
    trade_off: float = Field(0.4, ge=0, le=1e6, description="λ of graph cut; monotone up to 0.5.")
    optimizer: Literal["stochastic", "lazier", "lazy"] = Field(
        "stochastic",
        description="How subsets are chosen: lazier is nearer to greedy (for facility location);"
        " lazy is greedy itself and gives a single one.",
    )
    epsilon: float = Field(
        0.01, gt=0, lt=1, description="ε of stochastic greedy: smaller is nearer to greedy."
    )
    subsets: int | None = Field(
        None,
        ge=0,
        le=MOST_SUBSETS,
        description="Easy subsets per fraction. [default: as many as EPOCHS use, else 16]",
    )
    epochs: int | None = Field(None, ge=1, le=MOST_SUBSETS, description="Epochs of the training to come.")
    easy_fraction: float = Field(1 / 6, ge=0, le=1, description="κ: share of the epochs in the easy phase.")
    importance: tuple[str, ...] = Field(
        ("radius", "disparity_min"),
        description="Importances of the hard phase: radius, disparity_min, facility_location, graph_cut;"
        " NAME, or NAME:ESS with an effective sample size of its own, as --ess; may be given again.",
    )
    ess: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Effective sample size of the probabilities, as a share of the partition, of importances"
        " without one of their own.",
    )
    weight_power: float = Field(
        0.0,
        ge=0,
        le=8,
        description="With weights, subsets are chosen by gain / weight^POWER: 0 passes over what rows weigh,"
        " 1 gives the most gain for the budget, by light rows.",
    )
    budgets: Literal["proportional", "equal", "sqrt"] = Field(
        "proportional", description="How a budget is divided over the partitions."
    )
    order: Literal["balance", "none"] = Field(
        "balance", description="Order of the whole data and of each subset."
    )
    passes: int = Field(5, ge=1, le=1000, description="Balancing passes of an order.")
    sketch_dim: int | None = Field(
        None,
        ge=0,
        le=2**20,
        description="Dimensions of the 8-bit sketches that a drawn epoch is ordered by: fewer by PCA, 0 for"
        " no sketches. [default: all]",
    )
    bucket_size: int = Field(
        16_384, ge=16, le=2**31, description="Most examples that one worker selects from at once."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything drawn.")

    @field_validator("fraction")
    @classmethod
    def _fractions(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for fraction in value:
            if not 0 < fraction <= 1:
                raise ValueError(f"{fraction} is outside (0, 1]")
        if not value:
            raise ValueError("none is given")
        return tuple(sorted(set(value)))

    @field_validator("importance")
    @classmethod
    def _importances(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({_importance(each) for each in value}))

    @model_validator(mode="after")
    def _one_greedy(self) -> Selection:
        if self.optimizer == "lazy" and self.subsets not in (None, 0, 1):
            raise ValueError(
                f"subsets={self.subsets}: greedy gives one subset; optimizer=stochastic gives many"
            )
        return self

    @property
    def importances(self) -> tuple[Importance, ...]:
        """The importances, each with its name in the manifest."""
        made = []
        for each in self.importance:
            base, own, ess = each.partition(":")
            made.append(Importance(f"{base}-{ess}" if own else base, base, float(ess) if own else self.ess))
        return tuple(made)

    @property
    def subset_count(self) -> int:
        """Easy subsets per fraction: what the easy phase uses, as resolved."""
        if self.optimizer == "lazy":
            return 1 if self.subsets is None else self.subsets
        if self.subsets is not None:
            return self.subsets
        return 16 if self.epochs is None else easy_epochs(self.easy_fraction, self.epochs)


class Neighbours(Group):
    """The search for near neighbours, and near-duplicates."""

    neighbours: int = Field(
        10,
        ge=0,
        le=100,
        description="Nearest other examples that tell how well a label agrees with them; 0 for no search.",
    )
    duplicate_threshold: float = Field(
        0.95, gt=0, le=1, description="Cosine from which two examples are near-duplicates."
    )
    relative_threshold: float = Field(
        8.0,
        ge=0,
        le=1000,
        description="Of near-duplicates, copies are this many times nearer than the last neighbour of most"
        " examples; 0 to take --duplicate-threshold as it is.",
    )

    @field_validator("relative_threshold")
    @classmethod
    def _nearer(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError(f"{value:g} is neither 0 nor at least 1")
        return value


def _importance(value: str) -> str:
    """Return an importance in its shortest form."""
    base, own, ess = value.partition(":")
    if base not in RANKED_BY:
        raise ValueError(suggestion("importance", base, RANKED_BY))
    if not own:
        return base
    try:
        share = float(ess)
    except ValueError:
        raise ValueError(f"{quoted(value)}: {quoted(ess)} is no number") from None
    if not 0 < share <= 1:
        raise ValueError(f"{quoted(value)}: an effective sample size of {share:g} is outside (0, 1]")
    return f"{base}:{share:g}"


def easy_epochs(easy_fraction: float, epochs: int) -> int:
    """Return ⌈κ·epochs⌉, the number of easy epochs; κ = 1/6 of 12 epochs is 2 whatever the rounding."""
    return min(epochs, math.ceil(easy_fraction * epochs - 1e-9))
