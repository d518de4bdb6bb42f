"""Vector balancing of torch tensors on any device, and of outer products, block by block.

The signs of a block follow from its inner products with where the walk stands and from its Gram matrix
(`products_walk`), exactly: of a block of B vectors only B + B² numbers come to main memory, once. So a vector
may be an outer product that is never written out. What lies in main memory is walked directly.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias, Union

import numpy as np
import torch
from numpy.typing import NDArray

from syllabus.selectors.balancing.outer_products import NO_SUM, factor_pair_walk, factor_walk, is_finite
from syllabus.selectors.balancing.pieces import pieces_pair_walk
from syllabus.selectors.balancing.walks import Halving, pair_walk, products_walk, signed_walk
from syllabus.selectors.errors import SelectionError

_HERE = "cpu"  # the device of what is walked directly
_ROWS, _NARROW = 256, 1024  # rows of a block; numbers of a row
_COLUMNS = 65_536  # of a block of rows are widened to float64 at once


class DenseVectors:
    """B vectors as they are: (B, d) float32, or several (B, d_i) side by side, which are not copied.

    Other floats are converted to float32; what overflows it is refused by the walks as infinite.
    """

    def __init__(self, *pieces: torch.Tensor) -> None:
        for piece in pieces:
            if piece.ndim != 2 or not piece.dtype.is_floating_point or len(piece) != len(pieces[0]):
                raise SelectionError(
                    f"DenseVectors: rows have shape {tuple(piece.shape)} and dtype {piece.dtype}; expected"
                    " (B, d) floats, of one B in all pieces"
                )
        self.pieces = tuple(piece.detach().float().contiguous() for piece in pieces)
        self.widths = [piece.shape[1] for piece in pieces]
        self.device, self.width = pieces[0].device, sum(self.widths)

    def __len__(self) -> int:
        return self.pieces[0].shape[0]

    @property
    def rows(self) -> torch.Tensor:
        """The (B, d) float32 vectors in one tensor; a copy where they lie in several pieces."""
        return self.pieces[0] if len(self.pieces) == 1 else torch.cat(self.pieces, 1)

    def cut(self, start: int, stop: int) -> "DenseVectors":
        """Return vectors start to stop; a view."""
        return DenseVectors(*(piece[start:stop] for piece in self.pieces))

    def copy(self) -> "DenseVectors":
        """Return the same vectors in memory of their own."""
        return DenseVectors(*(piece.clone() for piece in self.pieces))

    def take(self, places: torch.Tensor) -> "DenseVectors":
        """Return the vectors at `places`, int64."""
        return DenseVectors(*(piece[places] for piece in self.pieces))

    def written(self) -> torch.Tensor:
        """Return the (B, d) float32 vectors themselves."""
        return self.rows

    def state(self) -> tuple[torch.Tensor, ...]:
        """Return the tensors that `Rows(*state)` is made of."""
        return (self.rows,)

    def to(self, device: torch.device) -> "DenseVectors":
        """Return the same vectors on `device`."""
        return DenseVectors(*(piece.to(device) for piece in self.pieces))

    def after(self, earlier: "DenseVectors") -> "DenseVectors":
        """Return `earlier`, in the same pieces or in one, followed by these."""
        same = earlier.widths == self.widths
        before = earlier.pieces if same else torch.split(earlier.rows, self.widths, 1)
        return DenseVectors(*(torch.cat(both) for both in zip(before, self.pieces, strict=True)))

    def products(self, *vectors: torch.Tensor) -> torch.Tensor:
        """Return (B, v) float64 inner products with v vectors, (d,) float64 each."""
        found = torch.zeros(len(self), len(vectors), dtype=torch.float64, device=self.device)
        for columns, part in self._parts():
            found += part @ torch.stack([vector[columns] for vector in vectors], 1)
        return found

    def gram(self) -> torch.Tensor:
        """Return (B, B) float64 inner products. O(B² d)."""
        found = torch.zeros(len(self), len(self), dtype=torch.float64, device=self.device)
        for _, part in self._parts():
            found += part @ part.T
        return found

    def add_to(self, total: torch.Tensor, weights: torch.Tensor) -> None:
        """Add Σ weights[i] z_i to `total`, (d,) float64."""
        for columns, part in self._parts():
            total[columns] += weights @ part

    def _parts(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield which columns, and these in float64, few at a time."""
        start = 0
        for piece in self.pieces:
            for part in torch.split(piece, _COLUMNS, 1):
                yield slice(start, start + part.shape[1]), part.double()
                start += part.shape[1]


class OuterProducts:
    """B vectors left_i ⊗ right_i of which only the factors are kept.

    Inner products are products of the factors': nothing of size B × d is ever made.

    Args:
      left: (B, p) floats, kept in float64.
      right: (B, q) floats on the same device, kept in float32 unless they are float64.
      bias: the vectors are (left_i ⊗ right_i, left_i), as if each right_i ended in a 1.
    """

    def __init__(self, left: torch.Tensor, right: torch.Tensor, bias: bool = False) -> None:
        if left.ndim != 2 or right.ndim != 2 or left.shape[0] != right.shape[0]:
            raise SelectionError(
                f"OuterProducts: factors have shapes {tuple(left.shape)} and {tuple(right.shape)};"
                " expected (B, p) and (B, q)"
            )
        right = right.detach() if right.dtype == torch.float64 else right.detach().float()
        self.left, self.right, self.bias = left.detach().double().contiguous(), right.contiguous(), bias
        self.device, self.width = left.device, left.shape[1] * (right.shape[1] + bias)

    def __len__(self) -> int:
        return self.left.shape[0]

    def cut(self, start: int, stop: int) -> "OuterProducts":
        """Return vectors start to stop; a view."""
        return OuterProducts(self.left[start:stop], self.right[start:stop], self.bias)

    def copy(self) -> "OuterProducts":
        """Return the same vectors in memory of their own."""
        return OuterProducts(self.left.clone(), self.right.clone(), self.bias)

    def take(self, places: torch.Tensor) -> "OuterProducts":
        """Return the vectors at `places`, int64."""
        return OuterProducts(self.left[places], self.right[places], self.bias)

    def state(self) -> tuple[torch.Tensor | bool, ...]:
        """Return what `Outer(*state)` is made of."""
        return (self.left, self.right, self.bias)

    def to(self, device: torch.device) -> "OuterProducts":
        """Return the same vectors on `device`."""
        return OuterProducts(self.left.to(device), self.right.to(device), self.bias)

    def after(self, earlier: "OuterProducts") -> "OuterProducts":
        """Return `earlier` followed by these."""
        left, right = torch.cat([earlier.left, self.left]), torch.cat([earlier.right, self.right])
        return OuterProducts(left, right, self.bias)

    def written(self) -> torch.Tensor:
        """Return the (B, d) float64 vectors themselves."""
        products = torch.einsum("bp,bq->bpq", self.left, self.right.double()).flatten(1)
        return torch.cat([products, self.left], 1) if self.bias else products

    def products(self, *vectors: torch.Tensor) -> torch.Tensor:
        """Return (B, v) float64 inner products with v vectors, (d,) float64 each. O(v B d)."""
        # <S, l ⊗ r> = lᵀ S r.
        right, found = self.right.double(), []
        for vector in vectors:
            square, rest = self.parts(vector)
            product = ((self.left @ square) * right).sum(1)
            found.append(product + self.left @ rest if self.bias else product)
        return torch.stack(found, 1)

    def gram(self) -> torch.Tensor:
        """Return (B, B) float64 inner products. O(B² (p + q))."""
        right = self.right.double()
        return (self.left @ self.left.T) * (right @ right.T + int(self.bias))

    def add_to(self, total: torch.Tensor, weights: torch.Tensor) -> None:
        """Add Σ weights[i] z_i to `total`, (d,) float64."""
        square, rest = self.parts(total)
        weighted = self.left * weights[:, None]
        square.addmm_(weighted.T, self.right.double())
        if self.bias:
            rest += weighted.sum(0)

    def parts(self, vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `vector`, (d,), as the (p, q) matrix that it is, and the (p,) or (0,) beside left; views."""
        p, q = self.left.shape[1], self.right.shape[1]
        return vector[: p * q].view(p, q), vector[p * q :]


VectorBlock: TypeAlias = Union[DenseVectors, OuterProducts]


def walk(
    block: VectorBlock, running_sum: torch.Tensor, mean: torch.Tensor, total: torch.Tensor | None = None
) -> NDArray[np.int8] | None:
    """Walk over z_i - mean; return (B,) signs, or None, nothing changed, where a value is not finite.

    Args:
      block: B vectors.
      running_sum: (d,) float64 on the block's device, where the walk stands; changed.
      mean: (d,) float64.
      total: (d,) float64, to which Σ z_i is added, where it is asked for; changed.
    """
    if block.device.type == _HERE:
        if isinstance(block, OuterProducts):
            arrays = running_sum.numpy(), mean.numpy(), NO_SUM if total is None else total.numpy()
            return factor_walk(block.left.numpy(), block.right.numpy(), *arrays)
        if not bool(torch.isfinite(block.rows.sum(1)).all()):
            return None
        rows = block.rows.numpy()
        signs = np.empty(len(rows), np.int8)
        signed_walk(rows, mean.numpy(), np.arange(len(rows)), running_sum.numpy(), signs)
        _add_all(block, total)
        return signs
    found = block.products(running_sum, mean)
    # <z_i - m, z_j - m> = <z_i, z_j> - <z_i, m> - <z_j, m> + <m, m>
    along = found[:, 1]
    gram = block.gram() - along[:, None] - along[None, :] + mean @ mean
    host = _fetched(found[:, 0] - running_sum @ mean, gram)
    if host is None:
        return None
    signs = products_walk(*host)
    weights = torch.from_numpy(signs.astype(np.float64)).to(block.device)
    block.add_to(running_sum, weights)
    running_sum -= weights.sum() * mean
    _add_all(block, total)
    return signs


def centred_walk(rows: torch.Tensor, caller: str) -> Callable[[NDArray[np.int64]], NDArray[np.int8]]:
    """Return the function (m,) order -> (m,) signs of the walk from 0 over rows[order] less the mean row.

    Args:
      rows: (n, d) float32 on any device; not copied.
      caller: named in errors.

    A walk: O(m (d + 256)) on the device, one wait a block of 256 rows, O(256 d) memory above the rows.
    """
    if rows.dtype != torch.float32 or 0 in rows.shape:
        raise SelectionError(
            f"{caller}: vectors have shape {tuple(rows.shape)} and dtype {rows.dtype}; expected (n, d)"
            " float32 with n and d at least 1"
        )
    rows = rows.detach()
    mean = rows.sum(0, dtype=torch.float64) / len(rows)
    if not bool(torch.isfinite(mean).all()):
        bad = int((~torch.isfinite(rows).all(1)).nonzero()[0])
        raise SelectionError(f"{caller}: row {bad} contains NaN or infinity; every value must be finite")

    def signs(order: NDArray[np.int64]) -> NDArray[np.int8]:
        running_sum, there = torch.zeros_like(mean), torch.from_numpy(order).to(rows.device)
        found = [
            walk(DenseVectors(rows[there[i : i + _ROWS]]), running_sum, mean)
            for i in range(0, len(order), _ROWS)
        ]
        return np.concatenate([part for part in found if part is not None])

    return signs


def walk_pairs(
    block: VectorBlock, running_sum: torch.Tensor, halving: Halving | None = None
) -> NDArray[np.int8] | None:
    """Walk over z_0 - z_1, z_2 - z_3, ...; return (B // 2,) signs, or None where a value is not finite.

    Args:
      block: an even number B of vectors.
      running_sum: (d,) float64 on the block's device, where the walk stands; changed.
      halving: thresholds of kernel halving; without, they are 0.
    """
    if len(block) % 2:
        raise SelectionError(f"walk_pairs: a block of {len(block)} vectors is not made of pairs")
    if block.device.type == _HERE:
        if isinstance(block, OuterProducts):
            return factor_pair_walk(block.left.numpy(), block.right.numpy(), running_sum.numpy(), halving)
        if block.width <= _NARROW:
            # Such rows are in the caches anyway; many of them are one compiled loop, with the same bits.
            rows = block.rows.numpy()
            finite = np.isfinite(rows).all()
            return pair_walk(rows, np.arange(len(rows)), running_sum.numpy(), halving) if finite else None
        return pieces_pair_walk([piece.numpy() for piece in block.pieces], running_sum.numpy(), halving)
    products, gram = block.products(running_sum)[:, 0], block.gram()
    by_column = gram[:, ::2] - gram[:, 1::2]
    host = _fetched(products[::2] - products[1::2], by_column[::2] - by_column[1::2])
    if host is None:
        return None
    signs = products_walk(*host, halving)
    weights = np.stack([signs, -signs], 1).ravel().astype(np.float64)
    block.add_to(running_sum, torch.from_numpy(weights).to(block.device))
    return signs


def is_taken(block: VectorBlock) -> bool:
    """Return whether walks take the block: all of its values are finite."""
    if block.device.type == _HERE and isinstance(block, OuterProducts):
        return is_finite(block.left.numpy(), block.right.numpy())
    return bool(torch.isfinite(block.gram()).all())


def _add_all(block: VectorBlock, total: torch.Tensor | None) -> None:
    if total is not None:
        block.add_to(total, torch.ones(len(block), dtype=torch.float64, device=block.device))


def _fetched(products: torch.Tensor, gram: torch.Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Bring both to main memory in one copy, the only wait of a block; None where a value is not finite."""
    both = torch.cat([products[None], gram]).cpu().numpy()
    # A vector with NaN or infinity shows on the diagonal.
    return (both[0], np.ascontiguousarray(both[1:])) if np.isfinite(both).all() else None
