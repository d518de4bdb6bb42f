"""Encoded images to RGB pixels."""

from __future__ import annotations

import io
from typing import Any


def decode(data: bytes | None) -> Any:
    """Return a PIL image in RGB; a grey pixel for None, which stands in where an image is broken."""
    from PIL import Image

    if data is None:
        return Image.new("RGB", (8, 8), (127, 127, 127))
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")
