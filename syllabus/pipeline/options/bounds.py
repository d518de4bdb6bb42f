"""Bounds of one record: what is beyond is a reject, so that no record takes the memory of all others."""

from __future__ import annotations

from pydantic import Field

from syllabus.pipeline.options.base import Group

PILLOW = 178_956_970
"""Pixels from which on Pillow itself refuses an image."""


class Bounds(Group):
    """Sizes beyond which a record is rejected. They decide which rows are examples."""

    max_text_bytes: int = Field(
        10_000_000, ge=1, le=2**31, description="Bytes of a text as UTF-8; a longer one is rejected."
    )
    max_image_bytes: int = Field(
        100_000_000, ge=1, le=2**31, description="Bytes of an encoded image; a larger one is rejected."
    )
    max_image_pixels: int = Field(
        100_000_000, ge=1, le=PILLOW, description="Pixels of an image; a larger one is rejected, not decoded."
    )
    max_label_bytes: int = Field(
        4096, ge=1, le=2**24, description="Bytes of a label, of a list as JSON; a longer one is rejected."
    )
    max_id_bytes: int = Field(4096, ge=1, le=2**24, description="Bytes of an id; a longer one is rejected.")
    max_record_bytes: int = Field(
        2**25,
        ge=1,
        le=2**31,
        description="Bytes of a record of JSON lines or CSV; a longer one is rejected, in CSV refused.",
    )
