"""Binary heap of rows: the largest key on top, the smallest index among equals."""

import numpy as np

from syllabus.selectors.numerics.compiled import compiled


@compiled
def sift_down(heap: np.ndarray, size: int, keys: np.ndarray, place: int = 0) -> None:
    """Restore the order of the first `size` entries after a smaller one at `place`, the top by default."""
    item = heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        other = child + 1
        if other < size and _before(heap[other], heap[child], keys):
            child = other
        if not _before(heap[child], item, keys):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = item


@compiled
def _before(a: int, b: int, keys: np.ndarray) -> bool:
    return keys[a] > keys[b] or (keys[a] == keys[b] and a < b)


@compiled
def sift_up(heap: np.ndarray, size: int, keys: np.ndarray) -> None:
    """Restore the order of the first `size` entries after a new last one."""
    item = heap[size - 1]
    place = size - 1
    while place > 0 and _before(item, heap[(place - 1) // 2], keys):
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = item
