"""Scalars of NumPy and torch as Python's own; a float of few bits is the shortest decimal that it reads as.

So ``np.float32(0.1)`` and a float32 tensor of 0.1 are the option 0.1, not 0.10000000149.
"""

import sys
from typing import Any

import numpy as np


def plain_scalar(value: Any) -> Any:
    """Return Python's own of a scalar of NumPy's or torch's, or of what has no dimension; others as they are.

    Dates stay what they are: Python's integer of one would be a guess.
    """
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if isinstance(value, (np.float16, np.float32)):
        return float(str(value))
    if isinstance(value, np.floating):
        return float(value)  # a longdouble's `item` is the longdouble
    if isinstance(value, np.generic):
        return value if value.dtype.kind in "mM" else value.item()
    if is_tensor(value) and not value.ndim and not value.is_meta:
        plain = value.item()
        return _shortest(plain, value) if isinstance(plain, float) and value.itemsize < 8 else plain
    return value


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch tensor; without torch loaded nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _shortest(number: float, like: Any) -> float:
    """Return the decimal of fewest digits that a tensor of the dtype of `like` holds as `number`."""
    for digits in range(1, 10):  # float32 needs 9 at most
        candidate = float(f"{number:.{digits}g}")
        if like.detach().new_tensor(candidate).item() == number:
            return candidate
    return number  # not finite
