"""Reasons for which a row is rejected, as ``rejects/`` and the summary of a job name them."""

NULL = {"text": "null text", "image": "null image", "embedding": "null vector"}
BLANK = {name: f"blank {name}" for name in ("text", "label", "id")}
PATH_WITHOUT_BYTES = "path without bytes"
BAD_ID = "bad id"
NOT_OF_KIND = {"text": "not text", "image": "not image bytes", "embedding": "not a vector"}
INVALID_UTF8 = "invalid UTF-8"
UNREADABLE_RECORD = "unreadable record"
UNREADABLE_IMAGE = "unreadable image"
WRONG_WIDTH = "wrong width"
NOT_FINITE = "NaN vector"
ZERO_VECTOR = "zero vector"
NOT_A_CLASS = "label is not a class"
NOT_A_NUMBER = "label is not a number"
BAD_WEIGHT = "bad weight"
MISSING = {name: f"missing {name}" for name in ("label", "id", "weight")}
ABOVE = {
    "max_text_bytes": "text above max_text_bytes",
    "max_image_bytes": "image above max_image_bytes",
    "max_image_pixels": "image above max_image_pixels",
    "max_label_bytes": "label above max_label_bytes",
    "max_id_bytes": "id above max_id_bytes",
    "max_record_bytes": "record above max_record_bytes",
}
"""By the option that bounds it."""
DUPLICATE_ID = "duplicate id"
FOUND_BY_ENCODER = frozenset((UNREADABLE_IMAGE, NOT_FINITE, ZERO_VECTOR, ABOVE["max_image_pixels"]))
"""Reasons that reading alone may not find."""
