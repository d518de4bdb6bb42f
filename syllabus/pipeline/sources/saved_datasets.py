"""Folders of Hugging Face's ``datasets``: what ``save_to_disk`` writes, and its cache of a downloaded set.

``state.json`` names the Arrow files of a data set in their order; others beside it are caches of what was
done with it. ``dataset_dict.json`` names the folders of splits, of which a job reads one.
"""

from __future__ import annotations

import json
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.manifests.storage import Store
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources.listing import OTHER_KIND, LeftOut

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
MOST_BYTES = 64 << 20
ARROW = ".arrow"


def of_saved_datasets(
    store: Store, files: list[str], left_out: list[LeftOut]
) -> tuple[list[str], list[LeftOut]]:
    """Return a folder's files of data and what is left out, where some are of saved data sets.

    Raises:
      UserError: there are several splits, a file that ``state.json`` names is missing, or its order is not
        that of the names.
    """
    names = {*files, *(left.name for left in left_out)}
    for name in sorted(names):
        folder, _, base = name.rpartition("/")
        if base == SPLITS:
            _refuse_splits(store, folder, _json(store, name).get("splits"))
    kept, more = list(files), list(left_out)
    for folder in sorted({name.rpartition("/")[0] for name in names if name.endswith(ARROW)}):
        place = f"{folder}/" if folder else ""
        here = [name for name in kept if name.rpartition("/")[0] == folder]
        described = place + STATE in names or place + INFO in names
        if not described:
            continue
        data = (
            _files_of_state(store, place, here)
            if place + STATE in names
            else _files_of_cache(store, place, here)
        )
        more += [LeftOut(name, OTHER_KIND) for name in here if name not in data]
        kept = [name for name in kept if name not in here or name in data]
    return kept, sorted(more, key=lambda left: left.name.encode())


def _refuse_splits(store: Store, folder: str, splits: Any) -> None:
    where = store.url(folder)
    if not (isinstance(splits, list) and splits and all(isinstance(split, str) for split in splits)):
        raise UserError(f"source {where}: {SPLITS} names no splits")
    raise UserError(
        f"source {where}: holds the splits {', '.join(splits)}; give the folder of one, such as"
        f" {store.url(f'{folder}/{splits[0]}' if folder else splits[0])}"
    )


def _files_of_state(store: Store, place: str, here: list[str]) -> list[str]:
    """The Arrow files that ``state.json`` names."""
    state = _json(store, place + STATE)
    where = store.url(place + STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise UserError(
            f"source {where}: the data set has an indices mapping; save it anew with a recent datasets"
        )
    try:
        named = [place + entry["filename"] for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise UserError(f"source {where}: names no _data_files") from None
    for name in named:
        if name not in here:
            raise UserError(f"source {where}: names {name}, which is not there")
    if named != sorted(named, key=str.encode):
        raise UserError(f"source {where}: names its files in another order than that of their names")
    return named


def _files_of_cache(store: Store, place: str, here: list[str]) -> list[str]:
    """The Arrow files of a cache, which are those of one split: no row says of which it is."""
    splits = _json(store, place + INFO).get("splits")
    data = [
        name
        for name in here
        if name.endswith(ARROW) and not name.rpartition("/")[2].startswith(("cache-", "tmp"))
    ]
    found = [
        split
        for split in (splits if isinstance(splits, dict) else ())
        if any(f"-{split}." in name or f"-{split}-0" in name for name in data)
    ]
    if len(found) > 1:
        raise UserError(
            f"source {store.url(place.rstrip('/'))}: holds the splits {', '.join(found)} in one folder; give"
            " the file of one, or write it with save_to_disk"
        )
    return data


def _json(store: Store, name: str) -> dict[str, Any]:
    try:
        with store.open(name) as handle:
            value = json.loads(bytes(handle.read(MOST_BYTES)))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"source {store.url(name)}: cannot be read: {first_line(error)}") from None
    if not isinstance(value, dict):
        raise UserError(f"source {store.url(name)}: is no JSON object")
    return value
