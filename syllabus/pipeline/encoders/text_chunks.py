"""Texts beyond a model's limit, read as a whole: in chunks, whose mean by tokens is the text's vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from syllabus.pipeline.encoders.token_limit import TokenLimit


def encode_whole(
    texts: list[str], limit: TokenLimit, encode: Callable[[list[str]], np.ndarray]
) -> np.ndarray:
    """Return the (n, d) float32 vectors of texts, of any length.

    A text within the limit is encoded as it is. The vector of a longer one is the mean of its chunks'
    vectors, weighted by their tokens, in float64.

    Args:
      texts: to encode.
      limit: of the model.
      encode: gives the (m, d) vectors of texts within the limit.

    Cost: of the model, that of the same tokens in texts within the limit.
    """
    long = set(np.flatnonzero(limit.exceeded(texts)).tolist())
    chunks = {row: cut(texts[row], limit) for row in long}
    parts = [(row, part) for row, text in enumerate(texts) for part in chunks.get(row, [text])]
    made = encode([part for _, part in parts])
    rows = np.array([row for row, _ in parts])
    vectors = np.zeros((len(texts), made.shape[1]), np.float32)
    short = np.array([row not in long for row in rows.tolist()], bool)
    vectors[rows[short]] = made[short]
    for row in sorted(long):
        weights = limit.counts(chunks[row]).astype(np.float64)
        vectors[row] = np.average(made[rows == row].astype(np.float64), axis=0, weights=weights)
    return vectors


def cut(text: str, limit: TokenLimit) -> list[str]:
    """Return a text in chunks within the limit, about as few and as even as can be.

    It is cut between words where there are, and nothing is lost but the spaces there. A single
    character is a chunk, whatever its tokens.
    """
    waiting, kept = [text], []
    while waiting:
        part = waiting.pop()
        if len(part) == 1 or not limit.exceeded([part])[0]:
            if part.strip():
                kept.append(part)
            continue
        # What marks the ends, and a prompt, are in each chunk: fewer tokens are its own.
        room = max(1, limit.tokens - limit.tokens_beside())
        pieces = max(2, -(-int(limit.counts([part])[0]) // room))
        waiting += reversed(_evenly(part, pieces))
    return kept


def _evenly(text: str, pieces: int) -> list[str]:
    """A text cut in about so many pieces of equal length, at the last space before where there is one."""
    size = max(1, -(-len(text) // pieces))
    found, first = [], 0
    while len(text) - first > size:
        space = text.rfind(" ", first + size // 2, first + size + 1)
        stop = space if space > first else first + size
        found.append(text[first:stop].strip())
        first = stop
    found.append(text[first:].strip())
    return [each for each in found if each]
