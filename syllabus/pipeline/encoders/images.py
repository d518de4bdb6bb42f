"""Decoding of images to RGB pixels."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

from syllabus.pipeline.sources.reasons import UNREADABLE_IMAGE


class UnreadableImage(ValueError):
    """Bytes that are no image, or a broken one."""


def decode(data: bytes | None) -> Any:
    """Return a PIL image in RGB; a grey pixel for None, which stands in where an image is broken.

    Raises:
      UnreadableImage: whatever it is that the decoder ran into.
    """
    from PIL import Image

    if data is None:
        return Image.new("RGB", (8, 8), (127, 127, 127))
    try:
        with warnings.catch_warnings():
            # Remarks on odd metadata; what cannot be decoded raises.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if "transparency" in image.info:
                    return image.convert("RGBA").convert("RGB")
                return image.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # decoders of broken data raise a dozen kinds
        # PIL names the buffer by its address, which differs from run to run.
        told = re.sub(r" ?<[\w.]+ object at 0x[0-9a-f]+>", "", str(error))
        raise UnreadableImage(f"{type(error).__name__}: {told}") from None


class EncodedImage:
    """An image that is decoded when its batch comes: a chunk of decoded images would fill the memory."""

    def __init__(self, data: bytes, row: int, reject: Any) -> None:
        self.data, self.row, self.reject = data, row, reject

    def open(self) -> Any:
        """Return the PIL image; a broken one is rejected, and grey."""
        try:
            return decode(self.data)
        except UnreadableImage as error:
            self.reject(self.row, UNREADABLE_IMAGE, str(error))
            return decode(None)
