"""Prefetching: have memory on its way to the cache while something else is computed."""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from syllabus.selectors.numerics.compiled import compiled_inside

_READ, _KEEP, _DATA = 0, 3, 1  # the arguments of LLVM's llvm.prefetch: for reading, into all levels, no code


def _prefetch(_typing: Any, array: Any, _index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(hint, [address, number(_READ), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


_prefetch_line: Any = intrinsic(_prefetch)


@compiled_inside
def prefetch(array: np.ndarray, index: int) -> None:
    """Fetch the cache line of array[index]: a hint, so an index beyond the end does no harm."""
    _prefetch_line(array, index)
