"""Decoding of images to upright RGB pixels on white; what has no such form is refused."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import numpy as np

from syllabus.pipeline.sources.reasons import ABOVE, UNREADABLE_IMAGE
from syllabus.pipeline.sources.sizes import UNBOUNDED

DECODING = 2
"""Part of an encoder's identity where it encodes images; raised when `decode` gives other pixels."""
RANGES = {"F": (1, 255, 65_535), "I": (255, 65_535)}
"""Largest values, from 0, of modes whose numbers have no range of their own: the first range that holds all
of an image becomes 0 to 255."""
ORIENTATION = 0x0112
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What brings each orientation of EXIF upright."""


class UnreadableImage(ValueError):
    """Bytes that are no image, a broken one, too large, or of a mode that has no form in 8 bits: `reason`."""

    def __init__(self, detail: str, mode: str | None = None, reason: str = UNREADABLE_IMAGE) -> None:
        super().__init__(detail)
        self.reason = reason if mode is None else f"{reason} of mode {mode}"


def decode(data: bytes | None, max_pixels: int = UNBOUNDED) -> Any:
    """Return a PIL image in RGB; a grey pixel for None, which stands in where an image is broken.

    The first frame, turned upright as its EXIF says. What is transparent is laid on white, or on black where
    nothing would be seen on white. 16 bits become 8 by division by 257, and numbers without a range of
    their own (modes I and F) by the first of `RANGES` that holds all of them.

    Raises:
      UnreadableImage: more than `max_pixels`, before any is decoded; numbers outside `RANGES`; whatever it is
        that the decoder ran into.
    """
    from PIL import Image

    if data is None:
        return Image.new("RGB", (8, 8), (127, 127, 127))
    mode = None
    try:
        with warnings.catch_warnings():
            # Remarks on odd metadata; what cannot be decoded raises.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                pixels = image.width * image.height
                if pixels > max_pixels:
                    bound = f"max_image_pixels is {max_pixels:,}"
                    raise UnreadableImage(
                        f"{image.width:,} × {image.height:,} are {pixels:,} pixels; {bound}",
                        reason=ABOVE["max_image_pixels"],
                    )
                if image.format == "EPS":
                    raise UnreadableImage("an EPS file is a program; it is not run")
                # Some formats have their transparency and EXIF behind the pixels.
                image.load()
                mode = image.mode
                return _upright(to_rgb(image), image)
    except (MemoryError, UnreadableImage):
        raise
    except Image.DecompressionBombError as error:  # Pillow's own bound, before there is an image to look at
        raise UnreadableImage(str(error), reason=ABOVE["max_image_pixels"]) from None
    except Exception as error:  # decoders of broken data raise a dozen kinds
        # PIL names the buffer by its address, which differs from run to run.
        told = re.sub(r" ?<[\w.]+ object at 0x[0-9a-f]+>", "", str(error))
        raise UnreadableImage(f"{type(error).__name__}: {told}", mode) from None


def to_rgb(image: Any) -> Any:
    """Return the pixels of a loaded PIL image of any mode in RGB, not turned.

    Raises:
      UnreadableImage: its numbers are outside `RANGES`.
    """
    from PIL import Image

    mode, clear = image.mode, image.info.get("transparency")
    if mode[0] == "I" or mode == "F":
        values = np.asarray(image)
        grey = Image.fromarray(_eight_bits(values, mode, image.format))
        if clear is None:
            return grey.convert("RGB")
        alpha = np.where(values == clear, 0, 255).astype(np.uint8)
        return _composed(Image.merge("LA", (grey, Image.fromarray(alpha))).convert("RGBA"))
    if mode in ("La", "RGBa"):  # multiplied by their alpha
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
    if clear is not None or mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        return _composed(image.convert("RGBA"))
    return image.convert("RGB")


def _eight_bits(values: np.ndarray, mode: str, form: str | None) -> np.ndarray:
    """(h, w) uint8 of numbers that have more than 8 bits."""
    # Older versions of Pillow have the 16 bits of these formats in mode I.
    if mode.startswith("I;16") or (mode == "I" and form in ("PNG", "PPM")):
        return np.asarray((values.astype(np.uint32) + 128) // 257, np.uint8)
    low, high = float(values.min()), float(values.max())
    for most in RANGES[mode]:
        if low >= 0 and high <= most:
            return np.asarray(np.rint(values.astype(np.float64) * (255 / most)), np.uint8)
    ranges = " or ".join(f"0 to {most:,}" for most in RANGES[mode])
    raise UnreadableImage(f"mode {mode}: its values are {low:g} to {high:g}; expected {ranges}", mode)


def _composed(image: Any) -> Any:
    """An RGBA image laid on white: RGB."""
    from PIL import Image

    laid = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    blank = all(low == high == 255 for low, high in laid.convert("RGB").getextrema())
    if blank and image.getchannel("A").getextrema()[1] > 0:
        # Drawn in white on nothing.
        laid = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return laid.convert("RGB")


def _upright(pixels: Any, image: Any) -> Any:
    from PIL import Image

    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # broken metadata of sound pixels
        return pixels
    return pixels if turn is None else pixels.transpose(Image.Transpose[turn])


def encoded_images(content: list[bytes], reject: Any, max_pixels: int) -> list[EncodedImage]:
    """Return images to be decoded one by one; `reject` is called with the row of a broken one."""
    return [EncodedImage(data, row, reject, max_pixels) for row, data in enumerate(content)]


class EncodedImage:
    """An image that is decoded when its batch comes: a chunk of decoded images would fill the memory."""

    def __init__(self, data: bytes, row: int, reject: Any, max_pixels: int = UNBOUNDED) -> None:
        self.data, self.row, self.reject, self.max_pixels = data, row, reject, max_pixels

    def open(self) -> Any:
        """Return the PIL image; None for a broken one, which is rejected."""
        try:
            return decode(self.data, self.max_pixels)
        except UnreadableImage as error:
            self.reject(self.row, error.reason, str(error))
            return None
