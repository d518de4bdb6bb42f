"""One rule for all formats: what of a text, a label or an id shows nothing is blank."""

from __future__ import annotations

import unicodedata

INVISIBLE = frozenset(("Zs", "Zl", "Zp", "Cc", "Cf"))
"""Unicode categories of separators, control and format characters: spaces, tabs, zero-width spaces, marks."""


def is_blank(text: str) -> bool:
    """Return whether a text is empty, or holds only spaces, control characters and invisible marks."""
    # Ends at the first character that shows: of an ordinary text it looks at one.
    return all(unicodedata.category(character) in INVISIBLE for character in text)
