"""A search whose runs take no time: scores follow from the parameters and the length of the run.

python toy_search.py FOLDER [SECONDS]     one worker of the search in FOLDER; a run takes so long
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ALPHA = 0.7  # the best rate goes as (share)^-ALPHA
BEST = 0.01
SPACE = {"lr": {"low": 1e-4, "high": 1.0}, "width": [16, 64, 128]}


def score(run: Any, alpha: float = ALPHA) -> float:
    """The highest at lr = BEST·share^-ALPHA and width 64; noise of .01."""
    noise = np.random.default_rng([run.configuration, round(1000 * run.share), run.seed]).standard_normal()
    apart = math.log(run.params["lr"] / (BEST * run.share**-alpha))
    return 1 - 0.05 * apart**2 - 0.1 * (run.params["width"] != 64) - 0.1 * (1 - run.share) + 0.01 * noise


def search(folder: Path, train: Any = score, **options: Any) -> Any:
    """A search of the manifest folder/m."""
    from syllabus.trainer.tuning import Search

    # A database of its own costs more than the runs: only what is about it asks for one.
    storage = options.pop("storage", None) or memory()
    if storage == "database":
        storage = None
    given = {"curriculum": {"schedule": "fresh"}, "folder": folder, "progress": False, "storage": storage}
    given["scheme"] = "i-epoch"  # the fewest runs
    options = {**given, **options}
    return Search(train, options.pop("space", SPACE), folder / "m", 4, **options)


def memory() -> Any:
    """A storage that is gone with the process."""
    from optuna.storages import InMemoryStorage

    return InMemoryStorage()


def main(folder: Path, seconds: float) -> None:
    def train(run: Any) -> float:
        with (folder / "begun.txt").open("a") as file:
            file.write(f"{run.share:.4f} {run.configuration}\n")
        time.sleep(seconds)
        return score(run)

    options = {
        "scheme": "rungs",
        "share": 1 / 30,
        "configurations": 12,
        "finalists": 1,
        "storage": "database",
    }
    print(search(folder, train, **options).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
