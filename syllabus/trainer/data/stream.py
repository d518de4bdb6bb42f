"""The stream: an epoch's examples read by row group from Parquet files, for data that is not map-style."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from syllabus.trainer import counter_rng
from syllabus.trainer.curriculum import Curriculum
from syllabus.trainer.data.intervals import even, left, share, without_first
from syllabus.trainer.data.loader_states import stream_states
from syllabus.trainer.data.row_groups import RowGroups
from syllabus.trainer.data.stream_state import STATE_VERSION, check_stream_states
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.ranks import check_ranks, find_ranks
from syllabus.trainer.validation import flag, whole

ORDERS = ("sequential", "shuffle")
PIECE = 1_024  # rows that are Python objects at once


class ManifestStream(IterableDataset):
    """Yields the rows of a curriculum's epoch as dicts; call `set_epoch(epoch)` before each epoch.

    Only the row groups that hold an example of the epoch are read. They come in an order keyed by (seed,
    epoch), and rows are shuffled inside windows of them: less random than `ManifestSampler`'s shuffle, the
    nearer to it the more row groups a window has.

    The epoch is one sequence of rows. Ranks have consecutive shares of it, and the workers of a loader shares
    of those: every row comes once, each row group is read by one process, or by two where a cut goes through
    its window. Ranks have equally many rows, or those with fewer would leave the others waiting for them: the
    last rank's share ends with the epoch's first rows again, as many as `padding` counts, or `drop_last`
    leaves rows out. So equally many workers and rows a batch make equally many batches on every rank.

    `set_epoch` is for iterators that have given nothing yet. Iterators of one stream do not disturb each
    other; `state_dict` is of the one that began last.

    `state_dict` is small. In a loop without workers it is the same on every rank, and any number of ranks or
    workers goes on from it. Workers have copies of the stream, so with them the loader must keep the states:
    torchdata's StatefulDataLoader does, and asks for the same number of workers and ranks again. Its state is
    loaded into both, the stream first, which then knows the epoch to go on with.

    Args:
        curriculum: which examples each epoch has.
        source: the folder or file that the manifest was made from, of Parquet files; a path or a URL.
        columns: of the source; all by default.
        order: ``shuffle``, or ``sequential`` for the source's order.
        window: row groups whose rows are shuffled together; as many are held in memory.
        num_replicas: W; from `torch.distributed` where it is initialised, else 1.
        rank: r; from the same place, else 0.
        drop_last: leave out the last k mod W rows of the epoch instead of repeating its first ones.
        seed: of the shuffle; the curriculum's by default.

    Raises:
        TrainerError: a source that does not fit the manifest, an order that needs rows one by one, an option
            out of bounds; ranks that started after it was made.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        source: str | os.PathLike[str],
        columns: Sequence[str] | None = None,
        *,
        order: str = "shuffle",
        window: int = 8,
        num_replicas: int | None = None,
        rank: int | None = None,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        if not isinstance(curriculum, Curriculum):
            raise TrainerError(
                f"ManifestStream: curriculum is a {type(curriculum).__name__}; give a Curriculum"
            )
        if not isinstance(order, str) or order not in ORDERS:
            name = order if isinstance(order, str) else type(order).__name__
            raise TrainerError(
                f"ManifestStream: order {name!r} is not one of {', '.join(ORDERS)}: rows read by row group"
                " cannot come in an order of their own; give a ManifestSampler a map-style data set"
            )
        self._found = num_replicas is None
        self.num_replicas, self.rank = find_ranks(num_replicas, rank, "ManifestStream")
        self.curriculum, self.order = curriculum, str(order)
        self.window = whole("ManifestStream", "window", window, 1)
        self.drop_last = flag("ManifestStream", "drop_last", drop_last)
        self.seed = curriculum.seed if seed is None else whole("ManifestStream", "seed", seed)
        self._groups = RowGroups(curriculum.manifest, source, columns)
        # Shared, so that workers that live on see what set_epoch says.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._history: list[list[int]] = []
        self._given = [0]  # a list that the iterator in use counts in
        self._resume: tuple[int, int] | None = None  # ranks and workers of a state of one of several workers
        self._loaded = self._ended = False
        self._here: int | None = None  # in a worker, the epoch of the state that was loaded there

    def __repr__(self) -> str:
        return (
            f"ManifestStream({self.curriculum!r}, order={self.order!r}, window={self.window},"
            f" rank={self.rank} of {self.num_replicas}, epoch={self.epoch})"
        )

    @property
    def epoch(self) -> int:
        """The epoch of the next `iter`."""
        return int(self._epoch) if self._here is None else self._here

    @property
    def dropped(self) -> int:
        """Rows left out of that epoch by `drop_last`."""
        return self._count() % self.num_replicas if self.drop_last else 0

    @property
    def padding(self) -> int:
        """Rows of that epoch that are repeated, so that all ranks have equally many."""
        return 0 if self.drop_last else -self._count() % self.num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next `iter`; naming the one that a state was loaded for keeps it."""
        self._check_ranks()  # here too: workers may not know of a process group
        epoch = whole("ManifestStream.set_epoch", "epoch", epoch)
        if not 0 <= epoch < self.curriculum.epochs:
            raise TrainerError(
                f"ManifestStream.set_epoch: epoch={epoch} is outside [0, epochs={self.curriculum.epochs})"
            )
        if epoch != self.epoch or not self._loaded:
            self._forget()
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        self._check_ranks()
        if not self._loaded:
            self._forget()
        self._loaded = self._ended = False
        if self._given[0] < 0 or self._resume not in (None, (self.num_replicas, workers)):
            raise TrainerError(
                f"ManifestStream: the state is of one of several workers: (ranks, workers) were"
                f" {self._resume}, here they are {(self.num_replicas, workers)}; load it into the same loader"
            )
        given = self._given = [self._given[0]]
        mine = without_first(share(self._mine(), workers, number), given[0])
        for table in self._tables(self.epoch, mine):
            for first in range(0, table.num_rows, PIECE):
                for row in table.slice(first, PIECE).to_pylist():
                    given[0] += 1
                    yield row
        if given is self._given:
            self._ended = True

    def state_dict(self) -> dict[str, Any]:
        """Return where the epoch stands, as a small fresh dict."""
        worker = get_worker_info()
        return {
            **self._identity(),
            "epoch": self.epoch,
            "history": [list(cut) for cut in self._history],
            "ranks": self.num_replicas,
            "workers": worker.num_workers if worker else 1,
            "given": self._given[0],
            "ended": self._ended,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state` in the next `iter`: sets the epoch.

        Of a state made after the epoch's last row nothing is left; one made when its loop had ended is the
        next epoch's beginning.

        Args:
            state: what `state_dict` gave, or the state of a stateful loader over this stream, which must then
                be loaded into the loader as well: the stream takes the epoch from it, the loader's workers
                their positions.

        Raises:
            TrainerError: the state is of something else; at the next `iter`, of one of several workers while
                their number is another now.
        """
        states, over = stream_states(state)
        state = check_stream_states(states, over, self._identity(), self.curriculum, self.drop_last)
        self._forget()
        if get_worker_info():
            # The loop's process says the epoch to all workers; a worker's state is of that one only, and the
            # worker must not go on to the next while others, and the loop, are in this one.
            self._here = state["epoch"]
        else:
            self._epoch.fill_(state["epoch"] + over)
            if over:
                return
        self._history = [list(cut) for cut in state["history"]]
        if state["workers"] > 1:
            # Each worker has a position of its own, which the loader gives it.
            given = -1 if len(states) > 1 else state["given"]
            self._given, self._resume = [given], (state["ranks"], state["workers"])
        elif state["given"]:
            self._history.append([state["ranks"], state["given"]])
        self._loaded = True

    def _forget(self) -> None:
        """Have the next `iter` begin at the epoch's first row."""
        self._history, self._given, self._resume = [], [0], None
        self._loaded, self._ended, self._here = False, False, None

    def _mine(self) -> list[tuple[int, int]]:
        """Return this rank's positions of the epoch, what was given before a resume left out."""
        count = self._count()
        rest = left([(0, count)], self._history, count, self.drop_last)
        return share(even(rest, self.num_replicas, count, self.drop_last), self.num_replicas, self.rank)

    def _check_ranks(self) -> None:
        if self._found:
            check_ranks(self.num_replicas, "ManifestStream")

    def _count(self) -> int:
        # A state after the last epoch is of one more, which has no rows to give.
        return self.curriculum.count(min(self.epoch, self.curriculum.epochs - 1))

    def _tables(self, epoch: int, intervals: list[tuple[int, int]]) -> Iterator[Any]:
        """Yield the rows at these positions of the epoch's sequence, a window's at a time.

        Past the end the sequence begins again: these rows are the padding.
        """
        if not intervals:
            return
        count = self._count()
        if intervals[-1][1] > count:
            laps = range(-(-intervals[-1][1] // count))
            for first in (lap * count for lap in laps):
                inside = [(max(start - first, 0), min(stop - first, count)) for start, stop in intervals]
                yield from self._tables(epoch, [(start, stop) for start, stop in inside if start < stop])
            return
        indices = self.curriculum.indices(epoch)
        group = self._groups.of(indices)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        stops = np.append(starts[1:], len(indices))
        order = np.arange(len(starts))
        if self.order == "shuffle":
            order = counter_rng.permutation(counter_rng.key(self.seed, "row groups", epoch), len(starts))
        begin = 0
        for number, first in enumerate(range(0, len(order), self.window)):
            chosen = np.sort(order[first : first + self.window])
            rows = np.concatenate([indices[starts[each] : stops[each]] for each in chosen])
            end = begin + len(rows)
            cut = [(max(start, begin) - begin, min(stop, end) - begin) for start, stop in intervals]
            wanted = [(start, stop) for start, stop in cut if start < stop]
            if wanted:
                if self.order == "shuffle":
                    key = counter_rng.key(self.seed, "window", epoch, number)
                    rows = counter_rng.taken(rows, counter_rng.permutation(key, len(rows)))
                yield self._groups.read(np.concatenate([rows[start:stop] for start, stop in wanted]))
            begin = end

    def _identity(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "manifest": self.curriculum.manifest.fingerprint,
            **self.curriculum.identity(),
            "order": self.order,
            "order_seed": self.seed,
            "window": self.window,
            "drop_last": self.drop_last,
        }
