"""Counter-based random numbers: functions of a key and a counter, with no state between calls.

An epoch's draw must not depend on which epochs were drawn before, on the number of ranks, or on the release
of a library whose streams may change. So each number is a hash: SplitMix64's mixer (Steele, Lea, Flood, "Fast
splittable pseudorandom number generators", 2014), twice, under two halves of one key. The mixer is a
bijection of 64-bit numbers: different counters never collide, so sorting by these has no ties.
"""

import hashlib
import operator

import numpy as np

from syllabus.selectors.numerics.counter_rng import mix_words

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
CHUNK = 1 << 16  # what is computed at once stays in the cache


def key(*parts: int | str) -> tuple[int, int]:
    """Return the key, two 64-bit words, of what the draw is for, such as ``key(seed, "shuffle", epoch)``."""
    # repr keeps apart what would read the same once joined: ("a", 1) and ("a1",). It also tells numpy's
    # integers from Python's, so all become the latter.
    plain = tuple(str(part) if isinstance(part, str) else operator.index(part) for part in parts)
    digest = hashlib.sha256(repr(plain).encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def random_uint64(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    """Return (m,) uint64 random numbers, one for each of the (m,) int64 `counters`. O(m)."""
    out = np.empty(len(counters), np.uint64)
    for first in range(0, len(out), CHUNK):
        out[first : first + CHUNK] = _random_uint64(key, counters[first : first + CHUNK])
    return out


def gumbel(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    """Return (m,) float64 standard Gumbel noise, one for each of the (m,) int64 `counters`. O(m)."""
    out = np.empty(len(counters))
    for first in range(0, len(out), CHUNK):
        # 52 bits and a half: with 53 the largest value would round to 1, whose Gumbel is infinite.
        bits = (_random_uint64(key, counters[first : first + CHUNK]) >> np.uint64(12)).astype(np.float64)
        out[first : first + CHUNK] = -np.log(-np.log((bits + 0.5) * 2.0**-52))
    return out


def permutation(key: tuple[int, int], n: int) -> np.ndarray:
    """Return a (n,) int64 permutation of 0…n-1: sorted by their random numbers. O(n log n), 8 n bytes."""
    return _places(key, n, None)


def permuted(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    """Return the (m,) int64 `counters`, no two equal, by their random numbers. O(m log m), 8 m bytes."""
    return taken(counters, order(key, counters))


def order(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    """Return the (m,) int64 places of `counters`, no two equal, sorted by their random numbers."""
    return _places(key, len(counters), counters)


def taken(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return ``values[places]``, int64, written over `places`: at ten million, 80 MB less."""
    for first in range(0, len(places), CHUNK):
        part = places[first : first + CHUNK]
        part[:] = values[part]
    return places


def _places(key: tuple[int, int], n: int, counters: np.ndarray | None) -> np.ndarray:
    """Return what ``argsort`` of the random numbers of `counters`, or of 0…n-1, returns."""

    def drawn(places: np.ndarray) -> np.ndarray:
        return _random_uint64(key, places if counters is None else counters[places])

    # Sorting values is some times faster than finding an order. So each value has the number's front and,
    # in its last bits, the place. Fronts that meet are rare; the whole numbers then decide.
    low = np.uint64((1 << max(n - 1, 1).bit_length()) - 1)
    packed = np.empty(n, np.uint64)
    for first in range(0, n, CHUNK):
        places = np.arange(first, min(first + CHUNK, n))
        packed[first : first + CHUNK] = drawn(places) & ~low | places.astype(np.uint64)
    packed.sort()
    met = [np.empty(0, np.int64)]
    for first in range(0, n, CHUNK):
        part = packed[max(first - 1, 0) : first + CHUNK]
        met.append(np.flatnonzero((part[1:] ^ part[:-1]) <= low) + max(first - 1, 0))
    tied = np.unique(np.concatenate([np.concatenate(met), np.concatenate(met) + 1]))
    if len(tied):
        whole = drawn((packed[tied] & low).view(np.int64))
        packed[tied] = packed[tied][np.argsort(whole)]
    packed &= low
    return packed.view(np.int64)


def _random_uint64(key: tuple[int, int], counters: np.ndarray) -> np.ndarray:
    first, second = (np.uint64(half) for half in key)
    return mix_words(mix_words(counters.astype(np.uint64) * _GOLDEN + first) ^ second)
