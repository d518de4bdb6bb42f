"""Named orders: how an epoch's examples are arranged, by name.

An order is a function (curriculum, epoch, seed) -> the epoch's int64 indices, rearranged.
"""

import warnings
from collections.abc import Callable

import numpy as np

from syllabus.manifests import read_sketches
from syllabus.selectors import herding as offline
from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum import Curriculum
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ordering.paired_epochs import counted_epoch, mirrored_epoch, warn_without_pairs

Order = Callable[[Curriculum, int, int], np.ndarray]
PASSES = 5


def shuffle(curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    """A permutation keyed by (seed, epoch): random reshuffling."""
    indices = curriculum.indices(epoch)
    return counter_rng.taken(indices, _shuffled(epoch, seed, len(indices)))


def balance(curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    """The epoch's shuffle, smoothed by five balance passes over the sketches of its examples.

    So every prefix has nearly the mean embedding of the epoch: what a herding order is for a set that was
    known beforehand. It depends on (seed, epoch) and the set alone: every rank has the same.

    Cost: one pass over the stored sketches and five over those of the k examples (each rank does it);
    memory is the latter, k·D bytes, and about 40 bytes an example.
    """
    indices = curriculum.indices(epoch)
    sketches = read_sketches(curriculum.manifest, indices)
    return indices[offline.balance(sketches, PASSES, start=_shuffled(epoch, seed, len(indices)))]


def shuffle_once(curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    """One permutation of all examples for all epochs: a baseline, mostly worse than ``shuffle``."""
    return _ranked(curriculum.indices(epoch), counter_rng.key(seed, "shuffle_once"))


def flip_flop(curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    """A permutation drawn every other epoch, reversed in between (FlipFlop, arXiv 2102.09718): a baseline.

    Where two epochs have different sets, each only has the rank that the permutation of both gives it.
    """
    order = _ranked(curriculum.indices(epoch), counter_rng.key(seed, "flip_flop", epoch // 2))
    return order[::-1] if epoch % 2 else order


def reversal(curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    """A shuffle, and then the same played backwards: paired reversal (arXiv 2604.00260).

    Epochs 2i and 2i + 1 are a pair where both have the same set. With ``fresh`` two cycles are: the epochs of
    the second are those of the first, sets and all, from the last to the first. An epoch without a partner is
    that of ``shuffle``.
    """
    return _in_pairs(shuffle, curriculum, epoch, seed)


def blocks(curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    """Block reshuffling with paired reversal (arXiv 2604.00260), of blocks that are alike.

    The k examples are dealt to √k blocks, each with its share of every partition within one example; the
    blocks come in random order and so do the examples of a block. Blocks dealt without regard to partitions
    would give a permutation as any other. Pairs of epochs are those of ``reversal``.
    """
    return _in_pairs(_in_blocks, curriculum, epoch, seed)


def sequential(curriculum: Curriculum, epoch: int, _seed: int) -> np.ndarray:
    """Ascending index, for evaluation and for debugging."""
    return curriculum.indices(epoch)


def herding(curriculum: Curriculum, epoch: int, _seed: int) -> np.ndarray:
    """The stored herding order: of the subset where the epoch trains on a stored one, else of the full data.

    The restriction of the full order to a drawn subset is as bad as a random order (measured).
    """
    subset = curriculum.subset_of(epoch)
    if subset is not None:
        return curriculum.manifest.subset(curriculum.fraction, subset)
    names = curriculum.manifest.orders
    if not names:
        raise TrainerError(f"order 'herding': epoch {epoch} is drawn and the manifest stores no full order")
    order = curriculum.manifest.order(names[0])
    indices = curriculum.indices(epoch)
    place = np.minimum(np.searchsorted(indices, order), len(indices) - 1)
    return order[indices[place] == order]


ORDERS: dict[str, Order] = {
    "balance": balance,
    "blocks": blocks,
    "flip_flop": flip_flop,
    "herding": herding,
    "reversal": reversal,
    "sequential": sequential,
    "shuffle": shuffle,
    "shuffle_once": shuffle_once,
}
PAIRED = ("blocks", "reversal")


def check_order(name: str, curriculum: Curriculum) -> None:
    """Refuse an order that is unknown or whose data the manifest lacks; warn of one that may harm."""
    if not isinstance(name, str) or name not in ORDERS:
        raise TrainerError(f"order {name!r} is unknown; known: {', '.join(sorted(ORDERS))}")
    if name == "balance" and curriculum.manifest.sketch_dimension is None:
        raise TrainerError(
            f"order 'balance': the manifest at {curriculum.manifest.location} has no sketches;"
            " prepare it without sketch_dim=0"
        )
    if name == "herding":
        warnings.warn(
            "order 'herding' is fixed: under label noise that can be worse than shuffling, and a drawn "
            "epoch follows the full data's order, which is no better for it than a random one",
            stacklevel=3,
        )
    if name in PAIRED:
        warn_without_pairs(name, curriculum)


def set_of_epoch(name: str, curriculum: Curriculum, epoch: int) -> int:
    """Return an epoch whose set has as many examples as the order `name` gives `epoch`."""
    return counted_epoch(curriculum, epoch) if name in PAIRED else epoch


def _in_pairs(order: Order, curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    first = mirrored_epoch(curriculum, epoch)
    visited = order(curriculum, first, seed)
    return visited[::-1] if first != epoch else visited


def _in_blocks(curriculum: Curriculum, epoch: int, seed: int) -> np.ndarray:
    indices = curriculum.indices(epoch)
    count = max(round(len(indices) ** 0.5), 1)
    partitions = curriculum.manifest.partitions()[np.searchsorted(curriculum.manifest.examples(), indices)]
    # By partition, and at random inside of one: dealt out in turn, each block gets its share of all.
    shuffled = _shuffled(epoch, seed, len(indices))
    dealt = shuffled[np.argsort(partitions[shuffled], kind="stable")]
    blocks = counter_rng.permutation(counter_rng.key(seed, "blocks", epoch), count)
    place = np.empty(len(indices), np.int64)
    place[dealt] = blocks[np.arange(len(indices)) % count]
    return indices[shuffled[np.argsort(place[shuffled], kind="stable")]]


def _shuffled(epoch: int, seed: int, count: int) -> np.ndarray:
    return counter_rng.permutation(counter_rng.key(seed, "shuffle", epoch), count)


def _ranked(indices: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Sort by random numbers of the examples themselves: the same in every set that they are in."""
    return counter_rng.permuted(key, indices)
