"""Sums of float64 in a fixed order: the same bits for equal rows wherever they lie.

A product from BLAS differs in its last bits between block shapes, thread counts and machines, even in
float64, so it cannot say whether two candidates tie. These routines can: sixteen partial sums, added up in
one fixed order, written as vector instructions in LLVM's intermediate code. (The compiler may not reorder a
sum by itself, and numba does not turn eight written-out partial sums into vectors: that is 3.4 times
slower. Letting it reorder would leave the order to the compiler, which can differ from caller to caller.)

A pass over (n, d) float32 rows takes the time of reading them: about 2.5 ms for 50,000 x 384.

All take contiguous arrays of one length; float32 and int8 elements are widened before anything is computed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from syllabus.selectors.numerics.compiled import compiled, compiled_inside

UNIT = 2.0**-53  # half the distance of neighbouring float64 numbers around 1
UNIT32 = 2.0**-24

_WIDTH = 4  # doubles in one vector instruction of AVX2
_CHAINS = 4  # independent sums, so that additions need not wait for each other


def _fold(arity: int, term: Callable[..., Any], name: str, largest: bool = False) -> Any:
    """Return the intrinsic Σ_j term(a_j, b_j, ...) over `arity` arrays, or the largest term; fixed order."""

    def join(builder: Any, a: Any, b: Any) -> Any:
        return _larger(builder, a, b) if largest else builder.fadd(a, b)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = [
            context.make_array(t)(context, builder, v) for t, v in zip(signature.args, arguments, strict=True)
        ]
        pointers = [array.data for array in arrays]
        index = ir.IntType(64)
        double = ir.DoubleType()
        vector = ir.VectorType(double, _WIDTH)
        length = builder.extract_value(arrays[0].shape, 0)

        def load(pointer: Any, at: Any, width: int) -> Any:
            element = pointer.type.pointee
            address = builder.gep(pointer, [at])
            if width > 1:
                address = builder.bitcast(address, ir.VectorType(element, width).as_pointer())
            value = builder.load(address, align=element.get_abi_alignment(context.target_data))
            wide = vector if width > 1 else double
            if isinstance(element, ir.IntType):  # int8 sketches
                return builder.sitofp(value, wide)
            return value if element == double else builder.fpext(value, wide)

        def loop(
            start: Any, stop: Any, step: int, sums: list[Any], body: Callable[[Any, list[Any]], list[Any]]
        ) -> Any:
            before = builder.block
            head = builder.append_basic_block(f"{name}.head")
            inside = builder.append_basic_block(f"{name}.body")
            after = builder.append_basic_block(f"{name}.after")
            builder.branch(head)
            builder.position_at_end(head)
            at = builder.phi(index)
            at.add_incoming(start, before)
            carried = []
            for value in sums:
                phi = builder.phi(value.type)
                phi.add_incoming(value, before)
                carried.append(phi)
            builder.cbranch(builder.icmp_signed("<", at, stop), inside, after)
            builder.position_at_end(inside)
            results = body(at, carried)
            at.add_incoming(builder.add(at, index(step)), builder.block)
            for phi, value in zip(carried, results, strict=True):
                phi.add_incoming(value, builder.block)
            builder.branch(head)
            builder.position_at_end(after)
            return carried

        def block(at: Any, sums: list[Any]) -> list[Any]:
            results = []
            for chain, partial in enumerate(sums):
                here = builder.add(at, index(chain * _WIDTH))
                loaded = [load(pointer, here, _WIDTH) for pointer in pointers]
                results.append(join(builder, partial, term(builder, *loaded)))
            return results

        def single(at: Any, sums: list[Any]) -> list[Any]:
            loaded = [load(pointer, at, 1) for pointer in pointers]
            return [join(builder, sums[0], term(builder, *loaded))]

        step = _WIDTH * _CHAINS
        whole = builder.sub(length, builder.srem(length, index(step)))
        first = float("-inf") if largest else 0.0
        start = ir.Constant(vector, [first] * _WIDTH)
        sums = loop(index(0), whole, step, [start] * _CHAINS, block)
        rest = loop(whole, length, 1, [double(first)], single)[0]
        folded = join(builder, join(builder, sums[0], sums[2]), join(builder, sums[1], sums[3]))
        lanes = [builder.extract_element(folded, ir.IntType(32)(lane)) for lane in range(_WIDTH)]
        total = join(builder, join(builder, lanes[0], lanes[2]), join(builder, lanes[1], lanes[3]))
        return join(builder, total, rest)

    if arity == 2:

        @intrinsic
        def summed2(_typing: Any, a: Any, b: Any) -> Any:
            return types.float64(a, b), generate

        return summed2

    @intrinsic
    def summed3(_typing: Any, a: Any, b: Any, c: Any) -> Any:
        return types.float64(a, b, c), generate

    return summed3


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _square_of_difference(builder: Any, a: Any, b: Any) -> Any:
    difference = builder.fsub(a, b)
    return builder.fmul(difference, difference)


_dot = _fold(2, lambda builder, a, b: builder.fmul(a, b), "dot")
_squared_distance = _fold(2, _square_of_difference, "distance")
_centred_dot = _fold(3, lambda builder, s, z, m: builder.fmul(s, builder.fsub(z, m)), "centred")
_largest_difference = _fold(2, lambda builder, a, b: builder.fsub(a, b), "largest", largest=True)


@compiled
def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Return <a, b>; (d,) float32 or float64 each."""
    return _dot(a, b)  # type: ignore[no-any-return]


@compiled_inside
def squared_distance_over_4(a: np.ndarray, b: np.ndarray) -> float:
    """Return ‖a - b‖²/4, which is (1 - cos)/2 for unit rows and exactly 0 for equal ones."""
    return 0.25 * _squared_distance(a, b)  # type: ignore[no-any-return]


@compiled_inside
def centred_dot(s: np.ndarray, row: np.ndarray, mean: np.ndarray) -> float:
    """Return <s, row - mean> without a copy of the centred row."""
    return _centred_dot(s, row, mean)  # type: ignore[no-any-return]


@compiled_inside
def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return max_j (a_j - b_j)."""
    return _largest_difference(a, b)  # type: ignore[no-any-return]


@compiled
def dots(rows: np.ndarray, query: np.ndarray, out: np.ndarray) -> None:
    """Write <rows[i], query> into `out`; rows (n, d)."""
    for i in range(rows.shape[0]):
        out[i] = dot(rows[i], query)


def sum_of_rows(rows: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Σ rows[i] over `indices` as (d,) float64, added in their order."""
    total = np.zeros(rows.shape[1])
    _add_rows(rows, indices, total)
    return total


def column_sums(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sum of all rows as (d,) float64, added in their order."""
    return sum_of_rows(rows, np.arange(len(rows)))


@compiled
def _add_rows(rows: np.ndarray, indices: np.ndarray, total: np.ndarray) -> None:
    for place in range(indices.shape[0]):
        for j in range(rows.shape[1]):
            total[j] += rows[indices[place], j]
