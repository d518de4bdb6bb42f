"""Checkpoints: everything that the next step of a run depends on, in one file.

The file is torch's, read with `weights_only=True`: it holds tensors and plain values and cannot run code.
"""

import io
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.trainer.errors import TrainerError

VERSION = 1


def save(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write `content` (tensors, plain values) and the random generators' state; whole or not at all."""
    store, name = _place(path)
    with store.writing(name) as file:
        torch.save({"version": VERSION, "random": _random_state(), **content}, file)


def load(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what `save` wrote, tensors on the CPU; None where there is no file.

    Raises:
        TrainerError: the file is no checkpoint, or of another version.
    """
    store, name = _place(path)
    if not store.exists(name):
        return None
    try:
        content = torch.load(io.BytesIO(store.read(name)), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise TrainerError(f"checkpoint {path}: unreadable ({first_line(error)})") from None
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise TrainerError(f"checkpoint {path}: version is {version!r}; this code reads {VERSION}")
    return content


def restore_random(state: dict[str, Any]) -> None:
    """Set the random generators of torch, numpy and Python to a saved `state`."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    name, words, *rest = state["numpy"]
    np.random.set_state((name, words.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - the user's data set may use it
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))


def _random_state() -> dict[str, Any]:
    name, words, *rest = np.random.get_state()  # noqa: NPY002 - the user's data set may use it
    version, state, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), torch.from_numpy(words.astype(np.int64)), *rest],
        "python": [version, list(state), gauss],
    }


def _place(path: str | os.PathLike[str]) -> tuple[Store, str]:
    text = os.fspath(path)
    if "://" not in text:
        return Store(Path(text).parent), Path(text).name
    folder, _, name = text.rpartition("/")
    return Store(folder), name
