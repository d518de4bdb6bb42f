"""Compilation of loops with numba, typed so that mypy strict sees plain functions.

The machine code is cached beside the source, or where ``NUMBA_CACHE_DIR`` says. Numba's cache looks at the
file of the compiled function only: after an edit of a file whose functions others call
(`fixed_order_sums.py`, `counter_rng.py`), or a move of a class of named arguments, clear the room's
`__pycache__`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def _njit(**options: Any) -> Callable[[Function], Function]:
    # nogil: workers that are threads select from different buckets at once. error_model numpy: a division by
    # zero gives inf, and loops lose a branch each. Nothing calls them from C: a wrapper less to compile.
    decorate: Any = partial(numba.njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)

    def compile_cached(function: Function) -> Function:
        try:
            return cast(Function, decorate(cache=True)(function))
        except RuntimeError:
            # Neither the package nor a home can be written to, as in containers: each process compiles anew.
            return cast(Function, decorate()(function))

    return compile_cached


def compiled(function: Function) -> Function:
    """Compile `function` without fast-math: sums keep the order in which they are written."""
    return _njit()(function)


def compiled_inside(function: Function) -> Function:
    """As `compiled`, for what only compiled functions call: Python cannot, which is quicker to compile."""
    return _njit(no_cpython_wrapper=True)(function)


def compiled_reassociating(function: Function) -> Function:
    """Compile a loop whose sums only bound: the compiler may order and fuse them as is fastest."""
    fast = {"reassoc", "contract", "nsz"}  # infinities keep their meaning
    return _njit(fastmath=fast)(function)
