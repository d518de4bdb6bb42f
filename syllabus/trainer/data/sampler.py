"""The sampler: each epoch's rows in order, alone or over ranks, resumable at every example."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
from torch.utils.data import DistributedSampler

from syllabus.trainer.curriculum import Curriculum
from syllabus.trainer.curriculum.row_matching import RowMap, check_labels, match_rows
from syllabus.trainer.data.epoch_iterator import EpochIterator, EpochRows, RankShare
from syllabus.trainer.data.iterators_in_use import IteratorsInUse
from syllabus.trainer.data.loader_states import sampler_state
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ordering import ORDERS
from syllabus.trainer.ordering.base import OnlineOrder
from syllabus.trainer.ordering.named import check_order, set_of_epoch
from syllabus.trainer.ranks import check_ranks, find_ranks
from syllabus.trainer.states import differences, entries, equal, integer, mapping, text
from syllabus.trainer.validation import column, flag, shown, whole

STATE_VERSION = 1


class ManifestSampler(DistributedSampler):
    """Yields the rows of a curriculum's epoch; call `set_epoch(epoch)` before each epoch.

    The order of an epoch is one global sequence of positions; rank r of W takes positions r, r+W, …, so that
    with a constant global batch every global batch is the same set for any W. It is a `DistributedSampler`
    because some trainers shuffle anything else; `torch.distributed` need not be initialised (then W = 1).

    `state_dict()` is a position in the global sequence, counted in examples: a run resumes on another number
    of ranks, workers or examples a batch. It resumes once: iterators start there until one has given a row,
    later ones at 0.

    Hosts make iterators early. One that has given nothing goes along with `load_state_dict` and, warning that
    a position may have been lost, with `set_epoch`; one that has given rows cannot, and warns if it goes on
    with another epoch than was named since. Loaders that share a sampler do not disturb each other, but
    `state_dict` and a loaded position are those of the one that gives rows, so give each a sampler of its
    own; with a `GraB` their alternation is an error.

    Args:
        curriculum: which examples each epoch has.
        order: ``shuffle`` (keyed by seed and epoch) or another name of `ORDERS`, or a `GraB` object,
            which is told the gradients and refines the order while training; on several ranks they tell
            each other, through `torch.distributed`.
        ids: the ids of the user's data set, one a row, where it was shuffled, filtered or changed since the
            manifest was made; every id of the manifest must be in one row. Without it, row = index.
        labels: the labels of the user's data set, one a row, however they are written: 1,000 of them are
            compared with the manifest's, which finds a data set in another order. (The fingerprint cannot be
            checked here: it is of the source's content, not of rows made from it.)
        num_replicas: W; from `torch.distributed` where it is initialised, else 1. A host that deals batches
            out itself (accelerate, Hugging Face's Trainer) is given num_replicas=1, rank=0.
        rank: r; from the same place, else 0.
        drop_last: leave out what does not divide by W, instead of repeating the first examples of the epoch.
        seed: of ``shuffle``; the curriculum's by default.

    `len(sampler)`, `num_samples`, `total_size`, `padding` and `dropped` are of the epoch that is set: where
    the curriculum's budget counts units such as tokens, epochs differ in their number of examples.

    Raises:
        TrainerError: an unknown order, a rank out of bounds, ids or labels that do not fit; or ranks that
            would be found too early (before `torch.distributed` started) or dealt out twice.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        order: str | OnlineOrder = "shuffle",
        ids: Iterable[Any] | None = None,
        *,
        labels: Any = None,
        num_replicas: int | None = None,
        rank: int | None = None,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        if not isinstance(curriculum, Curriculum):
            raise TrainerError(
                f"ManifestSampler: curriculum is a {type(curriculum).__name__}; give a Curriculum"
            )
        self._online = order if isinstance(order, OnlineOrder) else None
        if self._online is None:
            check_order(order, curriculum)
            order = str(order)  # np.str_ is no plain value of a state
        self._found = num_replicas is None
        num_replicas, rank = find_ranks(num_replicas, rank)
        drop_last = flag("ManifestSampler", "drop_last", drop_last)
        # Not torch's own __init__: it takes the length of all epochs from that of a data set.
        self.dataset, self.curriculum, self.order = curriculum, curriculum, order
        self.num_replicas, self.rank, self.drop_last = num_replicas, rank, drop_last
        self.seed = curriculum.seed if seed is None else whole("ManifestSampler", "seed", seed)
        self.epoch, self.shuffle = 0, False
        if curriculum.units.weights is None:
            self._check_dropped(len(curriculum))
        if ids is None:
            self._rows: RowMap | None = None
            self._length = curriculum.manifest.source_rows
        else:
            column("ids", ids)
            ids = ids if isinstance(ids, Sized) else list(ids)
            self._rows, self._length = (
                RowMap(curriculum.manifest, match_rows(curriculum.manifest, ids)),
                len(ids),
            )
        if labels is not None:
            self.check(labels)
            check_labels(curriculum.manifest, labels, self._rows, curriculum.seed)
        self._iterators = IteratorsInUse(alternate=self._online is None)
        if self._online is not None:
            self._online.attach(self)

    def __repr__(self) -> str:
        return (
            f"ManifestSampler({self.curriculum!r}, order={self.order!r}, rank={self.rank} of"
            f" {self.num_replicas}, epoch={self.epoch})"
        )

    @property
    def num_samples(self) -> int:
        """Examples of the epoch on each rank, those repeated included."""
        return self._samples(self.epoch)

    @property
    def total_size(self) -> int:
        """Examples of the epoch on all ranks, those repeated included."""
        return self.num_samples * self.num_replicas

    @property
    def padding(self) -> int:
        """Examples repeated in the full epoch so that all ranks have equally many."""
        return max(self.total_size - self._count(self.epoch), 0)

    @property
    def dropped(self) -> int:
        """Examples left out of the full epoch for the same reason."""
        return max(self._count(self.epoch) - self.total_size, 0)

    def steps(self, batch_size: int, epochs: int | None = None) -> int:
        """Return the batches of this rank in the first `epochs`, by default all: what a learning rate spans.

        Cost: O(epochs). Where budgets count other units than examples, each epoch is drawn once.
        """
        most = self.curriculum.epochs
        epochs = most if epochs is None else whole("ManifestSampler.steps", "epochs", epochs, 0, most)
        batch_size = whole("ManifestSampler.steps", "batch_size", batch_size, 1)
        return sum(-(-self._samples(epoch) // batch_size) for epoch in range(epochs))

    def check(self, dataset: Sized) -> None:
        """Raise a TrainerError unless `dataset` has the length that the rows were numbered for."""
        if len(dataset) != self._length:
            other = "ids were given" if self._rows is not None else "the manifest's source has"
            hint = "" if self._rows is not None else "; give the data set's ids"
            raise TrainerError(f"the data set has {len(dataset)} rows, {other} {self._length}{hint}")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next `iter`; naming the one that a state was loaded for keeps it."""
        epoch = whole("ManifestSampler.set_epoch", "epoch", epoch)
        if not 0 <= epoch < self.curriculum.epochs:
            raise TrainerError(
                f"ManifestSampler.set_epoch: epoch={epoch} is outside [0, epochs={self.curriculum.epochs})"
            )
        if self._online is not None:
            self._online.leave(epoch)
        self._iterators.name(epoch)
        self.epoch = epoch

    def __iter__(self) -> EpochIterator:
        if self._found:
            check_ranks(self.num_replicas)
        ranks = self.num_replicas, self.rank, self.drop_last
        used = self._iterators
        share = RankShare(
            self._order, self.rows_of, *ranks, self._state, self._checked, used.begins, used.goes_on
        )
        rows = EpochRows(share, *(used.loaded or (self.epoch, 0)))
        used.add(rows)
        return EpochIterator(rows)

    def state_dict(self, global_examples: int | None = None) -> dict[str, Any]:
        """Return where the epoch stands: O(1), the same on every rank; an epoch that ended is the next's 0.

        Args:
            global_examples: examples of this epoch trained on by all ranks together, those before a resume
                included. By default what the iterator in use gave, times W: with a loader that fetches
                ahead that is too far, so a loop that prefetches says what it has used.
        """
        epoch, position = self._iterators.place(self.epoch)
        if global_examples is not None:
            position = whole("ManifestSampler.state_dict", "global_examples", global_examples, 0)
        return self._state(epoch, position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`: sets the epoch, and where its next `iter` starts.

        Args:
            state: what `state_dict` gave, or the state of a stateful loader over this sampler: so a run goes
                on with another `num_workers`, which such a loader itself refuses.

        Raises:
            TrainerError: the state is of another version, manifest, curriculum, order or seed.
        """
        epoch, position = self._checked(sampler_state(state))
        self.epoch = epoch
        self._iterators.load(epoch, position)

    @property
    def given_out(self) -> int:
        """Examples of the epoch that the iterator in use has given out, those before a resume included."""
        rows = self._iterators.giving
        return 0 if rows is None else min(rows.position, self._count(rows.epoch))

    def rows_of(self, indices: np.ndarray) -> np.ndarray:
        """Return the int64 rows of the data set that hold the examples `indices`."""
        return indices if self._rows is None else self._rows[indices]

    def _state(self, epoch: int, position: int) -> dict[str, Any]:
        k = self._count(epoch)
        if position >= k or (self.drop_last and k - position < self.num_replicas):
            epoch, position = epoch + 1, 0
        state = {**self._identity(), "epoch": epoch, "global_examples": position}
        if self._online is not None:
            state["order_id"] = self._online.order_id(epoch)
        return state

    def _identity(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "manifest": self.curriculum.manifest.fingerprint,
            "n": self.curriculum.manifest.n,
            **self.curriculum.identity(),
            "order": self.order if self._online is None else self._online.name,
            "order_seed": self.seed,
            "drop_last": self.drop_last,
        }

    def _checked(self, state: dict[str, Any]) -> tuple[int, int]:
        """Return (epoch, position) of a state that was made for the same sequence as this sampler's."""
        where, epochs = "load_state_dict", self.curriculum.epochs
        state = mapping(where, "the state", state)
        if not equal(state.get("version"), STATE_VERSION):
            raise TrainerError(
                f"{where}: version is {shown(state.get('version'))}; this code reads {STATE_VERSION}"
            )
        if wrong := differences(state, self._identity()):
            raise TrainerError(f"{where}: {wrong}")
        fields = {"epoch": integer(), "global_examples": integer()}
        found = entries(where, state, fields if self._online is None else {**fields, "order_id": text})
        epoch, position = found["epoch"], found["global_examples"]
        if epoch > epochs:
            raise TrainerError(f"{where}: epoch={epoch} is outside [0, epochs={epochs}]")
        k = self._count(epoch) if epoch < epochs else 1  # after the last there is the beginning of no epoch
        if position >= k:
            raise TrainerError(f"{where}: global_examples={position} is outside [0, {k})")
        if self._online is not None:
            self._online.check(epoch, position, found["order_id"])
        return epoch, position

    def _samples(self, epoch: int) -> int:
        """Return the examples of an epoch on each rank, those repeated included."""
        k = self._count(epoch)
        return k // self.num_replicas if self.drop_last else -(-k // self.num_replicas)

    def _count(self, epoch: int) -> int:
        """Return the examples of an epoch before any is repeated or dropped; after the last, of the last."""
        epoch = min(epoch, self.curriculum.epochs - 1)
        if self._online is None:
            epoch = set_of_epoch(self.order, self.curriculum, epoch)
        k = self.curriculum.count(epoch)
        self._check_dropped(k)
        return k

    def _check_dropped(self, k: int) -> None:
        if self.drop_last and k < self.num_replicas:
            raise TrainerError(f"drop_last leaves nothing of {k} examples for {self.num_replicas} ranks")

    def _order(self, epoch: int, start: int) -> np.ndarray:
        """Return the epoch's int64 indices in the order in which all ranks together visit them."""
        if self._online is not None:
            return self._online.visits(epoch, start)
        return ORDERS[self.order](self.curriculum, epoch, self.seed)
