"""Error lines that name the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(kind: str, name: str, known: Iterable[str]) -> str:
    """Return one line: `name` is unknown, with the nearest of the `known` names or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"{kind} {name!r} is unknown; did you mean {near[0]!r}?"
    return f"{kind} {name!r} is unknown; known: {', '.join(names)}"
