"""Tables of a manifest as Arrow tables and data frames, with columns of the examples beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder: Path = tmp_path_factory.mktemp("frames")
    return write_small_manifest(folder / "m", n=90, fractions=(0.1, 0.3), subsets=3)


def test_every_table_has_its_rows(manifest: Manifest) -> None:
    for name in ("examples", "subsets", "importances/radius", "orders/balance", "rejects"):
        assert manifest.to_arrow(name).equals(manifest.table(name))
        assert len(manifest.to_pandas(name)) == manifest.table(name).num_rows
    frame = manifest.to_pandas(columns=["id", "label"])
    assert isinstance(frame, pd.DataFrame)
    assert list(frame) == ["id", "label"]


def test_a_subset_has_ids_and_labels_beside_it(manifest: Manifest) -> None:
    examples = manifest.to_pandas().set_index("index")
    for fraction in manifest.fractions:
        for number in range(3):
            frame = manifest.to_pandas("subsets", fraction=fraction, subset=number, join=["id", "label"])
            assert frame["index"].tolist() == manifest.subset(fraction, number).tolist()
            assert frame["id"].tolist() == examples.loc[frame["index"], "id"].tolist()
            assert list(frame)[-2:] == ["id", "label"]
    every = manifest.to_arrow("subsets", ["subset", "index"], fraction=0.3)
    assert every["subset"].to_pylist() == [number for number in range(3) for _ in range(27)]
    ranked = manifest.to_pandas("importances/radius", join=["label", "label"])
    assert ranked["label"].tolist() == examples.loc[ranked["index"], "label"].tolist()


def test_what_cannot_be_joined_or_found_is_one_line(manifest: Manifest, monkeypatch) -> None:
    for arguments, options, message in (
        (["rejects"], {"join": ["id"]}, "the rows have no column index to find 'id' by"),
        (["subsets"], {"join": ["partition"]}, "have a column 'partition' of their own"),
        (["subsets"], {"join": "id"}, r"'id' is a text; give a list of columns, \['id'\]"),
        (["subsets"], {"join": ["colour"]}, "has no column 'colour'"),
        (["subsets"], {"subset": 1}, "go with each other"),
        (["examples"], {"fraction": 0.1}, "go with each other"),
        (["subsets"], {"fraction": 0.2}, "has no subsets here"),
        (["subsets"], {"fraction": 0.1, "subset": 3}, "outside"),
        (["radius"], {}, "no such table"),
    ):
        with pytest.raises(ManifestError, match=message):
            manifest.to_arrow(*arguments, **options)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ManifestError, match="pandas is missing"):
        manifest.to_pandas()
