"""Which optimizer a run trains with, read from its steps, so that nobody has to say it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook


@contextlib.contextmanager
def stepping() -> Iterator[list[str]]:
    """Give a list that holds the name of the first of torch's optimizers that steps inside, once it has.

    A class made from one of Adam's kind is called as that one is. Steps of other threads, in which other
    searches may run, are passed over.
    """
    found: list[str] = []
    here = threading.get_ident()

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if not found and threading.get_ident() == here:
            names = [kind.__name__ for kind in type(optimizer).__mro__]
            found.append(next((name for name in names if "adam" in name.lower()), names[0]))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield found
    finally:
        handle.remove()
