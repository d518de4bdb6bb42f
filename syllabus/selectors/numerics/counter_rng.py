"""Counter-based random numbers: a function of (seed words, stream numbers, counter), compiled.

splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): the i-th number of
a key is mix(key + i · γ). A draw never depends on which other draws were made, so subset j is the same
whether one subset is asked for or a hundred.
"""

import numpy as np
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled, compiled_inside

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MASK = 2**64 - 1


@compiled_inside
def mix(word: np.uint64) -> np.uint64:
    """Return the finaliser of splitmix64: a bijection on 64 bits."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def mix_words(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return `mix` of each of (m,) uint64 `words`, written over them."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words


@compiled_inside
def child(key: np.uint64, number: int) -> np.uint64:
    """Return the key of stream `number` under `key`."""
    return mix(mix(key ^ np.uint64(0xD1B54A32D192ED03)) + (np.uint64(number) + np.uint64(1)) * _GAMMA)


@compiled_inside
def below(key: np.uint64, counter: int, bound: int) -> tuple[int, int]:
    """Return a uniform whole number in [0, bound), bound < 2^32, and the next counter.

    Lemire, "Fast random integer generation in an interval", 2019: multiply, keep the high half, reject the
    few low halves that would make some results likelier than others.
    """
    wide = np.uint64(bound)
    threshold = (np.uint64(1 << 32) - wide) % wide
    while True:
        word = mix(key + (np.uint64(counter) + np.uint64(1)) * _GAMMA) >> np.uint64(32)
        counter += 1
        product = word * wide
        if (product & np.uint64(0xFFFFFFFF)) >= threshold:
            return int(product >> np.uint64(32)), counter


@compiled
def uniform(key: np.uint64, counter: int) -> float:
    """Return a uniform number in [0, 1) with 53 bits."""
    return np.float64(mix(key + (np.uint64(counter) + np.uint64(1)) * _GAMMA) >> np.uint64(11)) * 2.0**-53


@compiled
def sample_to_front(pool: np.ndarray, remaining: int, size: int, key: np.uint64) -> None:
    """Move a uniform sample of `size` of the first `remaining` entries of `pool` to its front.

    The first `size` steps of a Fisher-Yates shuffle; the set is uniform whatever order the pool was in.
    """
    counter = int(np.int64(0))  # no literal: numba would compile `below` for it too
    for position in range(size):
        jump, counter = below(key, counter, remaining - position)
        other = position + jump
        pool[position], pool[other] = pool[other], pool[position]


def stream(key: np.uint64, number: int) -> np.uint64:
    """Return `child` for callers in Python, where compiling it would take longer than they do."""
    word = _mix_python(int(key) ^ 0xD1B54A32D192ED03)
    return np.uint64(_mix_python((word + (number + 1) * int(_GAMMA)) & _MASK))


def key_of(words: tuple[int, ...], purpose: int) -> np.uint64:
    """Return the key of a seed of one or more words; `purpose` keeps uses of one seed apart."""
    key = _mix_python(purpose + 1)
    for word in words:
        key = _mix_python((_mix_python(key ^ 0xD1B54A32D192ED03) + (word + 1) * int(_GAMMA)) & _MASK)
    return np.uint64(key)


def _mix_python(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
