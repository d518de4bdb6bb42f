"""Options that say what is looked for among near neighbours."""

from __future__ import annotations

from pydantic import Field

from syllabus.pipeline.options.base import Group


class Hygiene(Group):
    """Neighbours and near-duplicates."""

    neighbours: int = Field(
        10,
        ge=0,
        le=100,
        description="Nearest other examples that tell how well a label agrees with them; 0 for no search.",
    )
    duplicate_threshold: float = Field(
        0.95, gt=0, le=1, description="Cosine from which two examples are near-duplicates."
    )
