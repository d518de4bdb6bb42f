"""All options of a job in one frozen object."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationInfo, model_validator

from syllabus.pipeline.options.data import Data
from syllabus.pipeline.options.hygiene import Hygiene
from syllabus.pipeline.options.idle import idle
from syllabus.pipeline.options.locations import Locations
from syllabus.pipeline.options.running import Running
from syllabus.pipeline.options.selection import GUIDED_BY, Choosing

UNRECORDED = (
    *Locations.model_fields,
    # The encoder has a section of its own, by its name and weights, not by its path.
    "encoder",
    "device",
    *(name for name in Running.model_fields if name != "threads_per_worker"),
)
"""What leaves no trace in the manifest: where and how fast a job runs."""


# The fields follow one another from the last base to the first: locations come first in the help.
class Options(Running, Hygiene, Choosing, Data, Locations):
    """The options of one job. Frozen; every field is checked when it is made."""

    @model_validator(mode="after")
    def _guided(self) -> Options:
        needed = GUIDED_BY.get(self.objective)
        for objective, option in GUIDED_BY.items():
            value = getattr(self, option)
            if option == needed and value is None:
                raise ValueError(f"objective={objective!r}: needs {option}, the rows that it compares with")
            if option != needed and value is not None:
                raise ValueError(
                    f"{option}={value!r}: is of no use with objective={self.objective!r};"
                    f" {objective} takes it"
                )
        return self

    @model_validator(mode="after")
    def _of_use(self, info: ValidationInfo) -> Options:
        # A flag that leaves an option of the file nothing to do wins over it, as over a value there.
        file = set((info.context or {}).get("file", ()))
        flags = self.model_fields_set - file
        for option, causes, why in idle(self):
            given = option in self.model_fields_set and getattr(self, option) is not None
            if given and not (option in file and flags.intersection(causes)):
                raise ValueError(f"{option}={getattr(self, option)!r}: is of no use with {why}")
        return self

    @model_validator(mode="after")
    def _costing(self) -> Options:
        if self.weight is not None and self.optimizer == "lazier":
            raise ValueError(
                f"optimizer='lazier': does not go with weight={self.weight!r}; stochastic and lazy know costs"
            )
        return self

    def recorded(self) -> dict[str, Any]:
        """Return what determines the content, as resolved: what ``manifest.json`` holds."""
        values = self.model_dump(mode="json", exclude=set(UNRECORDED))
        if self.weight is None:
            # Manifests whose budgets count examples, and the keys made from these, stay what they were.
            del values["weight"], values["weight_power"]
        return {**values, "subsets": self.subset_count}
