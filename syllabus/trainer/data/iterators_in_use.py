"""The iterators of one sampler: which of them gives rows, and where those begin that have given none."""

from __future__ import annotations

import warnings
import weakref

from syllabus.trainer.data.epoch_iterator import EpochRows
from syllabus.trainer.errors import TrainerError


class IteratorsInUse:
    """What a sampler knows of its iterators; hosts make them early, make several, and drop some.

    Args:
        alternate: whether two of them may give rows by turns.

    Attributes:
        loaded: the epoch and position that were loaded, until an iterator gives a row.
        giving: what gave a row last, of the epoch that was named; None where nothing did.
    """

    def __init__(self, alternate: bool) -> None:
        self._alternate = alternate
        self._known: weakref.WeakSet[EpochRows] = weakref.WeakSet()
        self.loaded: tuple[int, int] | None = None
        self.giving: EpochRows | None = None
        self._anew = True  # nothing was given since an epoch was named, a state loaded or an iterator made

    def add(self, rows: EpochRows) -> None:
        """Take note of a new iterator."""
        self._pause()
        self._known.add(rows)

    def place(self, epoch: int) -> tuple[int, int]:
        """Return the epoch and position reached, where `epoch` is the sampler's."""
        if self.giving is not None and not self._anew:
            return self.giving.epoch, self.giving.position
        return self.loaded or (epoch, 0)

    def name(self, epoch: int) -> None:
        """Move the iterators that have given nothing to the beginning of `epoch`, unless they are in it."""
        if self.loaded and self.loaded[0] == epoch:
            return  # Lightning says so after the iterator was made
        waiting = [rows for rows in self._known if not rows.started and rows.epoch != epoch]
        dropped = {(rows.epoch, rows.position) for rows in waiting} | (
            {self.loaded} if self.loaded else set()
        )
        for before, position in sorted(dropped):
            if position:
                warnings.warn(
                    f"set_epoch({epoch}) drops the position loaded: epoch {before}, {position} examples in",
                    stacklevel=3,
                )
        if waiting and not any(position for _, position in dropped):
            warnings.warn(
                f"set_epoch({epoch}) moves an iterator that was made for epoch {waiting[0].epoch}; if the run"
                " goes on in mid-epoch, its position is not known here: load the state into the sampler"
                " before the loader's iterator is made",
                stacklevel=3,
            )
        self.loaded = None
        for rows in waiting:
            rows.move(epoch, 0)
        self._pause(epoch)

    def load(self, epoch: int, position: int) -> None:
        """Move the iterators that have given nothing there, as those that will be made until one has."""
        self.loaded, self.giving = (epoch, position), None
        for rows in self._known:
            if not rows.started:
                rows.move(epoch, position)
        self._pause(epoch)

    def begins(self, rows: EpochRows) -> None:
        """Take note that the first row is asked for."""
        self.loaded = None
        self._use(rows)

    def goes_on(self, rows: EpochRows, named: int | None) -> None:
        """Take note that a row is asked for after another iterator, or the name of an epoch, came between."""
        if not self._alternate and self.giving not in (None, rows):
            raise TrainerError(
                "ManifestSampler: two iterators give rows by turns, and GraB cannot tell whose gradients it"
                " is given; give each loader a sampler of its own"
            )
        if named is not None and named != rows.epoch:
            warnings.warn(
                f"ManifestSampler: epoch {named} was named after rows of epoch {rows.epoch} were given out,"
                " and the same iterator goes on with these; name the epoch, or load the state, before the"
                " loader's iterator is made",
                stacklevel=2,
            )
        self._use(rows)

    def _use(self, rows: EpochRows) -> None:
        self._pause()
        self.giving, self._anew = rows, False

    def _pause(self, named: int | None = None) -> None:
        """Notice which iterator gives the next row; `named` is the epoch that it should be of."""
        self._anew = True
        for rows in self._known:
            rows.interrupt(named)
        # One of the same epoch stays: Lightning names it after its workers have fetched rows of it.
        if named is not None and self.giving is not None and self.giving.epoch != named:
            self.giving = None
