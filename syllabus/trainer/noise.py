"""Random numbers that are functions: of a key and a counter, with no state between calls.

An epoch's draw must not depend on which epochs were drawn before, on the number of ranks, or on the
release of a library whose streams may change. So each number is a hash: SplitMix64's mixer (Steele,
Lea, Flood, "Fast splittable pseudorandom number generators", 2014), twice, under two halves of one key.
The mixer is a bijection of 64-bit words: different counters never collide, so sorting by these numbers
is a permutation without ties.
"""

from __future__ import annotations

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(*parts: int | str) -> tuple[int, int]:
    """Return the key, two 64-bit words, of what the draw is for, such as ``key(seed, "shuffle", epoch)``."""
    # repr keeps apart what would read the same once joined: ("a", 1) and ("a1",).
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def words(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    """Return (m,) uint64 random words, one for each of the (m,) int64 `counters`. O(m)."""
    first, second = (np.uint64(half) for half in key)
    return _mix(_mix(counters.astype(np.uint64) * _GOLDEN + first) ^ second)


def gumbel(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    """Return (m,) float64 standard Gumbel noise, one for each of the (m,) int64 `counters`. O(m)."""
    # 52 bits and a half: with 53 the largest value would round to 1, whose Gumbel is infinite.
    uniform = ((words(key, counters) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -np.log(-np.log(uniform))


def permutation(key: tuple[int, int], n: int) -> np.ndarray:
    """Return a (n,) int64 permutation of 0…n-1. O(n log n)."""
    return np.argsort(words(key, np.arange(n)))


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
