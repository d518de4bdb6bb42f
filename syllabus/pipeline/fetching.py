"""Download of a data set from Hugging Face's hub: nothing else asks a network for data.

What it leaves is a folder as ``save_to_disk`` writes it, which jobs read like any other source: workers need
no network, and the rows stay the same.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from syllabus.pipeline.errors import UserError

SCHEME = "hf://"


def fetch(
    name: str, output: str, split: str | None = None, config: str | None = None
) -> tuple[int, list[str]]:
    """Load a split with the library `datasets` and save it in the new folder `output`; whole or not at all.

    Args:
      name: ``user/name`` on the hub or ``hf://datasets/user/name``, ``@revision`` may follow; or a folder.
      output: what is made.
      split: of the data set; needed where there are several.
      config: of the data set, where it has several.

    Returns:
      The rows, and the names of the columns.

    Raises:
      UserError: the library is missing, or says that something is wrong.
    """
    if importlib.util.find_spec("datasets") is None:
        raise UserError(f"fetch {name}: needs the library datasets: pip install datasets")
    target = Path(output).expanduser().absolute()
    if os.path.lexists(target):
        raise UserError(f"output {output}: is there already; give a new folder")
    place, _, revision = name.removeprefix(SCHEME).removeprefix("datasets/").partition("@")
    import datasets

    datasets.disable_progress_bars()
    where: dict[str, Any] = {"revision": revision} if revision else {}
    try:
        if split is None:
            splits = datasets.get_dataset_split_names(place, config, **where)
            if len(splits) > 1:
                raise UserError(f"fetch {name}: has the splits {', '.join(splits)}; give one with --split")
            split = splits[0]
        found = datasets.load_dataset(place, config, split=split, **where)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as held:
            found.save_to_disk(Path(held) / "data")
            shutil.move(Path(held) / "data", target)
    except UserError:
        raise
    except Exception as error:  # of the library, of the network, of the data
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"fetch {name}: {type(error).__name__}: {why[:300]}") from None
    return len(found), list(found.column_names)
