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
DUPLICATE_ID = "duplicate id"
FOUND_BY_ENCODER = frozenset((UNREADABLE_IMAGE, NOT_FINITE, ZERO_VECTOR))
"""Reasons that reading alone may not find."""
