"""Options of the data: what an example is, its label and key, and how it becomes a vector."""

from __future__ import annotations

import os
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from syllabus.pipeline.conditions import Condition, parse_condition
from syllabus.pipeline.errors import quoted
from syllabus.pipeline.options.base import Group, absolute_path


class Data(Group):
    """Columns of the source, the encoder, and how partitions are made."""

    text: str | None = Field(
        None,
        description="Column that holds the text to embed, or the messages of a chat; several: A,B.",
    )
    image: str | None = Field(
        None, description="Column that holds encoded images; 'image' for a folder of images."
    )
    embedding: str | None = Field(
        None, description="Column that holds vectors made elsewhere, or columns of numbers: A,B,C or '*'."
    )
    label: str | None = Field(
        None,
        description="Column of the class, or of a list of classes, of which the rarest counts; 'folder' for a"
        " folder of images. Without it: k-means.",
    )
    bins: int | None = Field(
        None,
        ge=2,
        le=2**31,
        description="Quantile bins that a label which is a number is cut into, of 20 examples or more.",
    )
    id: str | None = Field(None, description="Column of a unique key. [default: the row's index]")
    weight: str | None = Field(
        None,
        description="Column of whole numbers >= 1, such as tokens, that budgets count instead of examples.",
    )
    where: tuple[str, ...] = Field(
        (),
        description="COLUMN=VALUE, also with != < <= > >=, or COLUMN in A,B: only rows for which it holds,"
        " never for a null; may be given again, then all must hold.",
    )
    encoder: str | None = Field(
        None,
        description="sentence-transformers name or path, package.module:factory (code, which runs), or"
        " 'hashing'. Not needed with --embedding.",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Precision of the encoder's weights."
    )
    device: str | None = Field(
        None, description="torch device of the encoder. [default: GPU where there is one]"
    )
    long_texts: Literal["truncate", "chunks"] = Field(
        "truncate",
        description="What becomes of a text beyond the model's limit: cut, with a warning, or read in chunks,"
        " of which its vector is the mean by tokens",
    )
    batch_size: int = Field(32, ge=1, le=2**20, description="Examples in one forward pass of the encoder.")
    preprocess: str = Field(
        "none",
        description="none, center, standardise (mean and deviation of each column, for tables), or"
        " center+pca:D (D at least 1): fitted on the vectors, then applied.",
    )
    clusters: int | None = Field(
        None,
        ge=1,
        le=2**31,
        description="k-means clusters where there is no label. [default: √(n/100), 2 to 1000]",
    )
    preview: bool = Field(
        True,
        description="Keep a sample with the beginnings of texts, or thumbnails, in the manifest, for"
        " `syllabus report`; with --private without them.",
    )

    @field_validator("encoder")
    @classmethod
    def _absolute_encoder(cls, value: str | None) -> str | None:
        if value is not None and max(map(len, os.fsencode(value).split(b"/"))) > 255:
            raise ValueError("a name in it is longer than 255 bytes")
        # A model of the hub may have the form of a relative path: only what is there is one.
        return absolute_path(value) if value not in (None, "hashing") and os.path.isdir(value) else value  # noqa: PTH112

    @field_validator("where")
    @classmethod
    def _where(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            parse_condition(each)
        return tuple(sorted(set(value)))

    @field_validator("preprocess")
    @classmethod
    def _preprocess(cls, value: str) -> str:
        if value in ("none", "center", "standardise"):
            return value
        if re.fullmatch("center[+]pca:0*[1-9][0-9]{0,8}", value):
            return value
        raise ValueError(f"{quoted(value)} is none of none, center, standardise, center+pca:D")

    @model_validator(mode="after")
    def _one_content(self) -> Data:
        given = [name for name in ("text", "image", "embedding") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of text, image, embedding; got {', '.join(given) or 'none'}")
        if self.embedding is None and self.encoder is None:
            such = "hashing, or the path or name of a model" if given[0] == "text" else "module:factory"
            raise ValueError(f"encoder is missing: {given[0]} needs one, such as {such}")
        if self.embedding is not None and self.encoder is not None:
            raise ValueError(
                f"encoder={self.encoder!r} is of no use: the vectors come from embedding={self.embedding!r}"
            )
        return self

    @model_validator(mode="after")
    def _partitions(self) -> Data:
        if self.bins is not None and self.label is None:
            raise ValueError(f"bins={self.bins}: is of no use without a label, the number to cut")
        if self.clusters is not None and self.label is not None:
            raise ValueError(
                f"clusters={self.clusters}: is of no use: label={self.label!r} cuts the partitions"
            )
        return self

    @property
    def filters(self) -> tuple[Condition, ...]:
        """The conditions of `where`."""
        return tuple(map(parse_condition, self.where))

    @property
    def content_kind(self) -> Literal["text", "image", "embedding"]:
        """The kind of what is embedded."""
        return "text" if self.text is not None else "image" if self.image is not None else "embedding"

    @property
    def content(self) -> str:
        """Name of the column that is embedded."""
        return str(getattr(self, self.content_kind))
