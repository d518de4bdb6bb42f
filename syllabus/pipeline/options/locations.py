"""Options of places: source, output, work directory; none of them leaves a trace in the manifest."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from syllabus.pipeline.options.base import Group, absolute_path


class Locations(Group):
    """Places of the data, the manifest and the shards."""

    source: str = Field(
        description="File or directory: Parquet, Arrow or save_to_disk, JSON lines, CSV, WebDataset, images."
    )
    output: str = Field(description="Directory of the manifest.")
    work_dir: str | None = Field(
        None, description="Directory of the shards that a rerun reuses. [default: OUTPUT.work]"
    )
    holdout: str | None = Field(
        None, description="Test data of the same form: its near-duplicates among the examples are reported."
    )
    query: str | None = Field(
        None,
        description="File or directory of rows to resemble, with the content column of the source; for"
        " objective facility_location_mutual_information.",
    )
    private: str | None = Field(
        None,
        description="The same of rows to avoid; for objective facility_location_conditional_gain.",
    )
    follow_links: bool = Field(
        False, description="Read what symbolic links in the source lead to, outside its directory too."
    )

    @field_validator("source", "output", "work_dir", "holdout", "query", "private", mode="before")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str) or not value:
            return value
        if value.startswith("file://"):
            value = unquote(urlsplit(value).path)
        return value if "://" in value else absolute_path(value)

    @model_validator(mode="after")
    def _apart(self) -> Locations:
        for name, value in (("output", self.output), ("work_dir", self.work)):
            if _within(value, self.source):
                place = "is the source itself" if _within(self.source, value) else "lies in the source"
                raise ValueError(f"{name}={value!r}: {place}; a rerun would take it for data")
        if self.holdout is not None:
            for inner, outer in ((self.holdout, self.source), (self.source, self.holdout)):
                if _within(inner, outer):
                    raise ValueError(f"holdout={self.holdout!r}: has files in common with the source")
        for name, value in (("source", self.source), ("work_dir", self.work)):
            if _within(value, self.output):
                raise ValueError(
                    f"output={self.output!r}: holds {name}={value!r}; give it a directory of its own"
                )
        return self

    @property
    def work(self) -> str:
        """Absolute location of the work directory."""
        from syllabus.manifests.locations import with_suffix  # loads pyarrow

        return self.work_dir or with_suffix(self.output, ".work")


LOCATIONS = tuple(name for name in Locations.model_fields if name != "follow_links")


def _within(inner: str, outer: str) -> bool:
    """Whether a location is another or lies in it, symbolic links followed."""
    paths = []
    for location in (inner, outer):
        path = location.partition("?")[0] if "://" in location else os.path.realpath(location)
        paths.append(path.rstrip("/") + "/")
    return paths[0].startswith(paths[1])
