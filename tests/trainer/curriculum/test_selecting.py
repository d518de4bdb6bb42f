"""The part of a data set that an epoch has: of Hugging Face's, of pandas', and of anything with places."""

from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from curricula import manifest as small
from torch.utils.data import Subset

from syllabus.trainer import Curriculum, TrainerError


@pytest.fixture(scope="module")
def curriculum() -> Curriculum:
    return Curriculum(small(101, 5), 0.25, 3, "fresh", seed=0)


@pytest.fixture(scope="module")
def rows(curriculum: Curriculum) -> dict[str, list]:
    """What the source may have held, by row; rejected rows too."""
    count = curriculum.manifest.source_rows
    known = curriculum.manifest.table("examples", ["index", "id", "label"]).to_pylist()
    found = {row["index"]: row for row in known}
    return {
        "number": list(range(count)),
        "id": [found.get(row, {"id": f"stranger {row}"})["id"] for row in range(count)],
        "label": [found.get(row, {"label": "none"})["label"] for row in range(count)],
    }


def test_rows_of_the_source_are_selected_in_every_kind_of_data_set(curriculum, rows) -> None:
    expected = curriculum.indices(1).tolist()
    selected = curriculum.select(datasets.Dataset.from_dict(rows), 1)
    assert isinstance(selected, datasets.Dataset)
    assert selected["number"][:] == expected
    assert curriculum.select(pd.DataFrame(rows, index=rows["id"]), 1)["number"].tolist() == expected
    table = pa.table(rows)
    for kind in (table, table.to_batches()[0]):
        assert curriculum.select(kind, 1)["number"].to_pylist() == expected
    for places in (rows["number"], torch.tensor(rows["number"])):
        subset = curriculum.select(places, 1)
        assert isinstance(subset, Subset)
        assert [int(place) for place in subset] == expected


def test_a_changed_data_set_is_matched_by_ids(curriculum, rows) -> None:
    changed = datasets.Dataset.from_dict(rows).shuffle(seed=1)
    expected = curriculum.indices(2).tolist()
    for ids in ("id", changed["id"], np.array(changed["id"][:])):
        selected = curriculum.select(changed, 2, ids, labels="label")
        assert selected["number"][:] == expected
    with pytest.raises(TrainerError, match="the data set has other rows or another order"):
        curriculum.select(changed, 2, labels="label")


def test_rows_of_a_shuffled_data_frame_are_counted_not_named(curriculum, rows) -> None:
    changed = pd.DataFrame(rows).sample(frac=1, random_state=1)
    with pytest.raises(TrainerError, match="the data set has other rows or another order"):
        curriculum.select(changed, 0, labels="label")
    expected = curriculum.indices(0).tolist()
    assert curriculum.select(changed, 0, ids="id", labels=changed["label"])["number"].tolist() == expected


def test_what_does_not_fit_is_one_line(curriculum, rows) -> None:
    whole = datasets.Dataset.from_dict(rows)
    short = whole.select(range(90))
    for dataset, options, message in (
        (short, {}, r"has 90 rows, the manifest's source has 103; give the data set's ids"),
        (short, {"ids": "id"}, r"ids: of 101 in the manifest, \d+ in no row"),
        (whole, {"ids": rows["id"][:-1]}, r"ids: 102 for 103 rows"),
        (whole, {"ids": "key"}, r"ids: the data set has no column 'key'"),
        (rows["number"], {"ids": "id"}, r"ids: the data set has no column 'id'"),
        (whole, {"ids": 5}, r"ids are a int; give one a row, or a column's name"),
        (whole, {"labels": rows["label"][:3]}, r"labels: 3 for 103 rows"),
        (whole, {"labels": 5}, r"labels are a int; give"),
        (iter([]), {}, r"without a length"),
        (set(rows["number"]), {}, r"neither select nor places"),
        (datasets.DatasetDict({"train": whole}), {}, r"has 1 rows, the manifest's source has 103"),
    ):
        with pytest.raises(TrainerError, match=message) as raised:
            curriculum.select(dataset, 0, **options)
        assert "\n" not in str(raised.value)
