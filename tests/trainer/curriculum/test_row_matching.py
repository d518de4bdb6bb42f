"""The rows of a data set that has changed since its manifest was made."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from samplers import changed, curriculum, manifest, rows, sampler
from small_manifest import write_small_manifest

from syllabus.manifests import ManifestError
from syllabus.manifests import ids as identity
from syllabus.trainer import Curriculum, TrainerError
from syllabus.trainer.curriculum import row_matching
from syllabus.trainer.curriculum.row_matching import RowMap, match_rows

# A data set that has changed


@pytest.mark.parametrize("kind", [list, tuple, np.array, pa.array, iter])
def test_rows_follow_the_ids(kind):
    ids, drawn = changed(), curriculum()
    one = sampler(drawn, ids=kind(ids))
    plain = sampler(drawn)
    known = dict(
        zip(*(drawn.manifest.table("examples")[name].to_pylist() for name in ("id", "index")), strict=True)
    )
    for epoch in range(drawn.epochs):
        assert [known[ids[row]] for row in rows([one], epoch)[0]] == rows([plain], epoch)[0]


def test_integer_ids_stand_for_their_text(tmp_path):
    numbers = np.random.default_rng(0).permutation(61) + 1000
    small = write_small_manifest(tmp_path, n=61, ids=[str(number) for number in numbers])
    one = sampler(Curriculum(small, 1.0, 1, seed=0), "sequential", ids=torch.from_numpy(np.sort(numbers)))
    assert (np.sort(numbers)[list(one)] == numbers).all()


def test_text_of_digits_and_dictionaries_of_texts_are_texts(tmp_path):
    names = [f"{number:03d}" for number in range(61)]
    small = write_small_manifest(tmp_path, n=61, ids=names)
    mixed = np.random.default_rng(0).permutation(61)
    coded = pa.array(names).take(pa.array(mixed)).dictionary_encode()
    np.testing.assert_array_equal(mixed[match_rows(small, coded)], np.arange(61))
    with pytest.raises(TrainerError, match="61 in no row: '000', '001', '002'"):
        match_rows(small, mixed)
    with pytest.raises(ManifestError, match="1 of 2 are null"):
        small.lookup(pa.DictionaryArray.from_arrays([0, 1], ["007", None]))


@pytest.mark.parametrize("ids", ["12", b"12", {"1", "2"}])
def test_what_has_no_rows_is_not_taken_for_ids(ids):
    with pytest.raises(
        ManifestError, match=f"ids: are a {type(ids).__name__}; give a sequence, one id a row"
    ):
        manifest().lookup(ids)


@pytest.mark.parametrize("known_hashes", [1, 7, 2**63])
@pytest.mark.parametrize("piece", [5, 1_000])
def test_ids_whose_hashes_meet_and_ids_in_many_pieces_are_found_too(known_hashes, piece, monkeypatch):
    found = row_matching.hashes
    monkeypatch.setattr(
        row_matching, "hashes", lambda ids, seed: found(ids, seed) % np.uint64(1 if seed else known_hashes)
    )
    monkeypatch.setattr(row_matching, "PIECE", piece)
    monkeypatch.setattr(row_matching, "SEARCHED", piece)
    there = changed(3)
    chunks = pa.chunked_array([there[:11], [], there[11:50], there[50:]], pa.large_string())
    ids = manifest().table("examples", ["id"])["id"].to_pylist()
    np.testing.assert_array_equal(match_rows(manifest(), chunks), [there.index(one) for one in ids])
    # Two rows that the manifest does not know may be the same.
    twice = [*there, "stranger-1", "stranger-1"]
    np.testing.assert_array_equal(match_rows(manifest(), twice), [twice.index(one) for one in ids])


@pytest.mark.parametrize("alike", [1, 2])
def test_ids_are_found_without_a_hash_table_where_at_most_two_hashes_meet(alike, monkeypatch):
    there = changed(3)
    places = {one: place for place, one in enumerate(sorted(there))}

    def meeting(strings: pa.StringArray, seed: int) -> np.ndarray:
        place = np.array([places[one] for one in strings.to_pylist()], np.uint64)
        return place if seed else place // np.uint64(alike) << np.uint64(50)

    monkeypatch.setattr(row_matching, "hashes", meeting)
    monkeypatch.setattr(row_matching, "_compared", None)
    ids = manifest().table("examples", ["id"])["id"].to_pylist()
    np.testing.assert_array_equal(match_rows(manifest(), there), [there.index(one) for one in ids])


def test_an_id_whose_hash_another_row_has_is_missing_all_the_same(monkeypatch):
    ids = manifest().table("examples", ["id"])["id"].to_pylist()
    there = ["stranger", *reversed(ids[1:])]
    found = row_matching.hashes(pa.array([ids[0]]))

    def meeting(strings: pa.StringArray, seed: int) -> np.ndarray:
        strange = np.array([one == "stranger" and seed == 0 for one in strings.to_pylist()])
        return np.where(strange, found, identity.hashes(strings, seed))

    monkeypatch.setattr(row_matching, "hashes", meeting)
    with pytest.raises(
        TrainerError, match="of 62 in the manifest, 1 in no row: 'example-00000'; the data set"
    ):
        match_rows(manifest(), there)


def test_an_id_that_only_one_more_row_has_is_refused():
    ids = manifest().table("examples", ["id"])["id"].to_pylist()
    with pytest.raises(TrainerError, match="1 in more than one row: 'example-00030'"):
        match_rows(manifest(), [*ids, "example-00030"])


def test_ids_that_do_not_fit_are_one_error_with_counts_and_three_of_each():
    ids = manifest().table("examples", ["id"])["id"].to_pylist()
    with pytest.raises(TrainerError) as caught:
        sampler(curriculum(), ids=ids[5:] + ids[30:32])
    assert str(caught.value) == (
        "ids: of 62 in the manifest, 5 in no row: 'example-00000', 'example-00001', 'example-00002'; "
        "2 in more than one row: 'example-00032', 'example-00033'; the data set has 59 rows"
    )
    with pytest.raises(ManifestError, match="1 of 63 are null"):
        sampler(curriculum(), ids=[*ids, None])
    with pytest.raises(ManifestError, match="expected strings or integers"):
        sampler(curriculum(), ids=[[each] for each in ids])


def test_the_length_of_the_data_set_is_checked():
    one = sampler(curriculum())
    one.check(range(64))
    with pytest.raises(
        TrainerError, match="has 61 rows, the manifest's source has 64; give the data set's ids"
    ):
        one.check(range(61))
    aligned = sampler(curriculum(), ids=changed())
    aligned.check(range(64))
    with pytest.raises(TrainerError, match="has 62 rows, ids were given 64"):
        aligned.check(range(62))


def test_the_rows_of_a_source_that_is_mostly_left_out_are_found_too(tmp_path):
    small = write_small_manifest(tmp_path, n=40)
    examples, aligned = small.examples(), np.arange(40) * 3
    np.testing.assert_array_equal(RowMap(small, aligned)[examples[::-1]], aligned[::-1])
    small.examples = lambda: examples * 5  # as if four fifths of the source had been filtered out
    np.testing.assert_array_equal(RowMap(small, aligned)[examples[[8, 7]] * 5], [24, 21])


def test_ids_in_the_manifests_order_are_found_without_a_hash_table(monkeypatch):
    ids = manifest().table("examples", ["id"])["id"].to_pylist()
    monkeypatch.setattr("syllabus.trainer.curriculum.row_matching.pc.index_in", None)
    np.testing.assert_array_equal(match_rows(manifest(), ids), np.arange(62))


# Labels


def labels(code=str) -> list:
    """The labels of the source's rows; rejected rows have one of their own."""
    known = dict(zip(*manifest().table("examples", ["index", "label"]).to_pydict().values(), strict=True))
    return [code(known.get(row, "rejected")) for row in range(64)]


def numbered(text: str) -> int:
    return int(text[-1], 36)


@pytest.mark.parametrize("code", [str, numbered, lambda text: text[::-1]])
def test_labels_written_otherwise_are_the_same_labels(code):
    one = sampler(curriculum(), labels=labels(code))
    assert rows([one], 2) == rows([sampler(curriculum())], 2)
    sampler(curriculum(), labels=np.array(labels(code)))
    sampler(curriculum(), labels=torch.tensor(labels(numbered)))


def test_a_data_set_in_another_order_is_found_by_its_labels():
    mixed = np.random.default_rng(0).permutation(labels()).tolist()
    with pytest.raises(
        TrainerError, match=r"labels: row \d+ has '\S+' where the manifest has 'class-\d', unlike"
    ):
        sampler(curriculum(), labels=mixed)
    two = labels()
    first, second = two.index("class-0"), two.index("class-1")
    two[first], two[second] = two[second], two[first]
    with pytest.raises(TrainerError, match="give its ids"):
        sampler(curriculum(), labels=two)
    with pytest.raises(TrainerError, match="has 63 rows, the manifest's source has 64"):
        sampler(curriculum(), labels=labels()[:-1])


def test_labels_that_merge_or_split_the_manifests_are_other_labels():
    whole = labels()
    merged = ["class-0" if text == "class-1" else text for text in whole]
    with pytest.raises(
        TrainerError, match=r"labels: row \d+ has 'class-0' where the manifest has 'class-[01]', unlike"
    ):
        sampler(curriculum(), labels=merged)
    split = [f"{text}, {row % 2}" for row, text in enumerate(whole)]
    with pytest.raises(
        TrainerError, match=r"labels: row \d+ has 'class-(\d), [01]' where the manifest has 'class-\1'"
    ):
        sampler(curriculum(), labels=split)


def test_labels_are_compared_at_the_rows_of_the_ids():
    known = manifest().table("examples", ["id", "label"]).to_pydict()
    order = np.random.default_rng(1).permutation(62)
    there = [known["id"][i] for i in order]
    sampler(curriculum(), ids=there, labels=[known["label"][i] for i in order])
    with pytest.raises(TrainerError, match="labels: row"):
        sampler(curriculum(), ids=there, labels=known["label"])
