"""A check of the sort order of a table, in a stream."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class SortCheck:
    """A check that rows handed over in pieces are strictly ascending by integer columns."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.rows = 0
        self._last: tuple[int, ...] | None = None

    def problem(self, rows: pa.Table) -> str | None:
        """Return what is wrong with the next `rows`, None if nothing; O(rows)."""
        seen, self.rows = self.rows, self.rows + rows.num_rows
        if not self.columns or not rows.num_rows:
            return None
        keys = [rows.column(name).to_numpy() for name in self.columns]
        if self._last is None:
            previous = [key[:1] - 1 for key in keys]
        else:
            previous = [np.asarray([value]) for value in self._last]
        ascending = _ascending([np.concatenate(pair) for pair in zip(previous, keys, strict=True)])
        self._last = tuple(int(key[-1]) for key in keys)
        if ascending.all():
            return None
        row = int(ascending.argmin())
        names = ", ".join(self.columns)
        value = ", ".join(str(int(key[row])) for key in keys)
        return f"row {seen + row} with ({names}) = ({value}) does not come after the row before it"


def _ascending(keys: list[npt.NDArray[np.integer]]) -> npt.NDArray[np.bool_]:
    """Return for each row but the first whether it is above the row before it, (rows - 1,) bool."""
    above = np.zeros(len(keys[0]) - 1, np.bool_)
    equal = np.ones(len(keys[0]) - 1, np.bool_)
    for key in keys:
        above |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    return above
