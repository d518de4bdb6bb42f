"""Every option of the job, under one name in TOML, flags and Python.

Each field's description is the help text of its flag. Options under "What determines the content" are
recorded in ``manifest.json``; the rest say where and how fast the job runs and leave no trace in it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from syllabus.pipeline.errors import UserError
from syllabus.pipeline.nearest import suggestion


class Options(BaseModel):
    """The options of one job. Frozen; every field is checked when it is made."""

    # Strict: "3" is no number and 1 is no truth value, in TOML as in Python.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    source: str = Field(description="File or directory: Parquet, JSON lines, CSV, or images.")
    output: str = Field(description="Directory of the manifest.")
    work_dir: str | None = Field(
        None, description="Directory of the shards that a rerun reuses. [default: OUTPUT.work]"
    )

    # What determines the content.
    text: str | None = Field(None, description="Column that holds the text to embed.")
    image: str | None = Field(
        None, description="Column that holds encoded images; 'image' for a folder of images."
    )
    embedding: str | None = Field(None, description="Column that holds vectors made elsewhere.")
    label: str | None = Field(
        None, description="Column of the class; 'folder' for a folder of images. Without it: k-means."
    )
    id: str | None = Field(None, description="Column of a unique key. [default: the row's index]")
    encoder: str | None = Field(
        None,
        description="sentence-transformers name or path, package.module:factory, or 'hashing'."
        " Not needed with --embedding.",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Precision of the encoder's weights."
    )
    device: str | None = Field(
        None, description="torch device of the encoder. [default: GPU where there is one]"
    )
    batch_size: int = Field(32, ge=1, description="Examples in one forward pass of the encoder.")
    preprocess: str = Field(
        "none",
        description="none, center, or center+pca:D: fitted on the vectors, applied before normalising.",
    )
    fraction: tuple[float, ...] = Field(
        (0.1,), description="Share of the examples in a subset; may be given again."
    )
    objective: Literal["graph_cut", "facility_location"] = Field(
        "graph_cut", description="Representative function of the easy subsets."
    )
    trade_off: float = Field(0.4, ge=0, description="λ of graph cut; monotone up to 0.5.")
    optimizer: Literal["stochastic", "lazier", "lazy"] = Field(
        "stochastic",
        description="How subsets are chosen: lazier is nearer to greedy (for facility location);"
        " lazy is greedy itself and gives a single one.",
    )
    epsilon: float = Field(
        0.01, gt=0, lt=1, description="ε of stochastic greedy: smaller is nearer to greedy."
    )
    subsets: int | None = Field(
        None, ge=0, description="Easy subsets per fraction. [default: as many as EPOCHS use, else 16]"
    )
    epochs: int | None = Field(None, ge=1, description="Epochs of the training to come.")
    easy_fraction: float = Field(1 / 6, ge=0, le=1, description="κ: share of the epochs in the easy phase.")
    importance: tuple[Literal["radius", "disparity_min"], ...] = Field(
        ("radius", "disparity_min"), description="Importances of the hard phase; may be given again."
    )
    ess: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Effective sample size of the probabilities, as a share of the partition.",
    )
    budgets: Literal["proportional", "equal", "sqrt"] = Field(
        "proportional", description="How a budget is divided over the partitions."
    )
    order: Literal["balance", "none"] = Field(
        "balance", description="Order of the whole data and of each subset."
    )
    passes: int = Field(5, ge=1, description="Balancing passes of an order.")
    clusters: int | None = Field(
        None, ge=1, description="k-means clusters where there is no label. [default: √(n/100), 2 to 1000]"
    )
    bucket_size: int = Field(16_384, ge=16, description="Most examples that one worker selects from at once.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything drawn.")

    # Where and how fast.
    workers: int = Field(1, ge=1, description="Workers of the embedded runner.")
    threads_per_worker: int = Field(
        1, ge=1, description="Threads of a worker's matrix products; sets their last bits."
    )
    memory_per_worker: float = Field(4.0, gt=0, description="GB that a worker may hold of vectors.")
    max_reject_rate: float = Field(0.01, ge=0, le=1, description="Share of bad records that stops the job.")
    runner: str = Field(
        "FnApiRunner", description="Any portable Beam runner; its own options follow after --."
    )
    runner_options: tuple[str, ...] = Field((), description="Options of the runner, one a string.")
    overwrite: bool = Field(False, description="Replace a manifest that is already there.")

    @field_validator("source", "output", "work_dir", mode="before")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str):
            return value
        if not value:
            raise ValueError("is empty")
        if value.startswith("file://"):
            value = unquote(urlsplit(value).path)
        # Workers have another working directory than the job.
        return value if "://" in value else _absolute_path(value)

    @field_validator("text", "image", "embedding", "label", "id", "encoder", "device", "runner")
    @classmethod
    def _not_empty(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("is empty")
        return value

    @field_validator("encoder")
    @classmethod
    def _absolute_encoder(cls, value: str | None) -> str | None:
        # A model of the hub may have the form of a relative path: only what is there is one.
        return _absolute_path(value) if value not in (None, "hashing") and Path(value).is_dir() else value

    @field_validator("fraction", "importance", "runner_options", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (
            (value,)
            if isinstance(value, str | int | float)
            else tuple(value)
            if isinstance(value, list)
            else value
        )

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
    def _sorted(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @field_validator("preprocess")
    @classmethod
    def _preprocess(cls, value: str) -> str:
        if value in ("none", "center"):
            return value
        start, _, dimension = value.partition(":")
        if start == "center+pca" and dimension.isdigit() and int(dimension) >= 1:
            return value
        raise ValueError(f"{value!r} is none of none, center, center+pca:D")

    @model_validator(mode="after")
    def _one_content(self) -> Options:
        given = [name for name in ("text", "image", "embedding") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of text, image, embedding; got {', '.join(given) or 'none'}")
        if self.embedding is None and self.encoder is None:
            raise ValueError(f"encoder is missing: {given[0]} needs one")
        if self.embedding is not None and self.encoder is not None:
            raise ValueError(
                f"encoder={self.encoder!r} is of no use: the vectors come from embedding={self.embedding!r}"
            )
        if self.optimizer == "lazy" and self.subsets not in (None, 0, 1):
            raise ValueError(
                f"subsets={self.subsets}: greedy gives one subset; optimizer=stochastic gives many"
            )
        return self

    @model_validator(mode="after")
    def _apart(self) -> Options:
        for name, value in (("output", self.output), ("work_dir", self.work)):
            if _within(value, self.source):
                place = "is the source itself" if _within(self.source, value) else "lies in the source"
                raise ValueError(f"{name}={value!r}: {place}; a rerun would take it for data")
        for name, value in (("source", self.source), ("work_dir", self.work)):
            if _within(value, self.output):
                raise ValueError(
                    f"output={self.output!r}: holds {name}={value!r}; give it a directory of its own"
                )
        return self

    @property
    def content_kind(self) -> Literal["text", "image", "embedding"]:
        """What is embedded."""
        return "text" if self.text is not None else "image" if self.image is not None else "embedding"

    @property
    def content(self) -> str:
        """Name of the column that is embedded."""
        return str(getattr(self, self.content_kind))

    @property
    def work(self) -> str:
        """Absolute location of the work directory."""
        return self.work_dir or self.output.rstrip("/") + ".work"

    @property
    def subset_count(self) -> int:
        """Easy subsets per fraction: what the easy phase uses, as resolved."""
        if self.optimizer == "lazy":
            return 1 if self.subsets is None else self.subsets
        if self.subsets is not None:
            return self.subsets
        return 16 if self.epochs is None else easy_epochs(self.easy_fraction, self.epochs)

    def recorded(self) -> dict[str, Any]:
        """Return what determines the content, as resolved: what ``manifest.json`` holds."""
        values = self.model_dump(mode="json", exclude=set(_UNRECORDED))
        return {**values, "subsets": self.subset_count}


_UNRECORDED = (
    "source",
    "output",
    "work_dir",
    # The encoder has a section of its own, by its name and weights, not by its path.
    "encoder",
    "device",
    "workers",
    "memory_per_worker",
    "max_reject_rate",
    "runner",
    "runner_options",
    "overwrite",
)


def easy_epochs(easy_fraction: float, epochs: int) -> int:
    """Return ⌈κ·epochs⌉, the number of easy epochs; κ = 1/6 of 12 epochs is 2 whatever the rounding."""
    return min(epochs, math.ceil(easy_fraction * epochs - 1e-9))


def make_options(values: dict[str, Any], where: str | Mapping[str, str] = "options") -> Options:
    """Return the options in `values`; a mistake is one line that begins with where it was made.

    `where` names the place of all options, or of each by name, with ``""`` for that of the whole.
    """
    places: Mapping[str, str] = {"": where} if isinstance(where, str) else where

    def mistake(name: str, message: str) -> UserError:
        return UserError(f"{places.get(name, places[''])}: {message}")

    for name in sorted(set(values) - set(Options.model_fields)):
        raise mistake(name, suggestion("option", name, Options.model_fields))
    try:
        return Options(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            raise mistake("", f"option {name!r} is missing") from None
        if first["type"] == "literal_error":
            raise mistake(name, suggestion(name, str(first["input"]), choices(name))) from None
        if not name:
            raise mistake("", message) from None
        raise mistake(name, f"{name}={values[name]!r}: {message[0].lower()}{message[1:]}") from None


def choices(name: str) -> tuple[str, ...]:
    """Return the values that an option of a fixed choice may have; none for any other."""

    def literals(kind: Any) -> tuple[str, ...]:
        found = get_args(kind)
        if all(isinstance(each, str) for each in found):
            return found
        return tuple(value for each in found if each is not ... for value in literals(each))

    return literals(Options.model_fields[name].annotation)


def _absolute_path(value: str) -> str:
    return os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - Path keeps the .. in a path


def _within(inner: str, outer: str) -> bool:
    """Whether a location is another or lies in it, symbolic links followed."""
    paths = []
    for location in (inner, outer):
        path = location.partition("?")[0] if "://" in location else os.path.realpath(location)
        paths.append(path.rstrip("/") + "/")
    return paths[0].startswith(paths[1])
