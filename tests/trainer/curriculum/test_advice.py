"""What ``auto`` chooses and says, what filters leave out, and what a curriculum warns of."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from curricula import EPOCHS, manifest, quiet
from told_manifests import data, left_out, section, told

from syllabus.manifests import Manifest, allocate
from syllabus.trainer import Curriculum, ManifestSampler, TrainerError
from syllabus.trainer.curriculum import advice
from syllabus.trainer.curriculum.filters import drop_suspects, one_per_duplicate_group

# auto


@pytest.mark.parametrize(
    ("wrong", "copies", "kind", "against", "fraction", "filters"),
    [
        (0.2, 0.3, "class", (), 0.1, ("drop_suspects", "one_per_duplicate_group")),
        (0.2, 0.3, "class", (), 0.01, ("drop_suspects", "one_per_duplicate_group")),
        (0.2, 0.0, "class", (), 0.1, ("drop_suspects",)),
        (0.03, 0.3, "class", (), 0.1, ("one_per_duplicate_group",)),
        (0.03, 0.03, "class", (), 0.1, ()),
        (0.03, 0.3, "class", ("crowded",), 0.1, ()),
        (0.2, 0.3, "class", ("random_share",), 0.1, ("drop_suspects",)),
        (0.03, 0.3, "class", (), 0.5, ()),  # an epoch is more than half of what would be left
        (0.03, 0.9, "class", (), 0.01, ()),  # a tenth of each class would be left
        (0.2, 0.3, "list", (), 0.1, ()),
        (0.2, 0.3, "number", (), 0.1, ()),
    ],
)
def test_auto_acts_only_on_what_the_manifest_shows(wrong, copies, kind, against, fraction, filters):
    columns = data(wrong, copies)
    one = told(section(kind, left_out(columns), against), columns=columns)
    choice = advice.choose(one, fraction, None)
    assert (choice.schedule, choice.filters) == ("fresh", filters)
    assert choice.reason.startswith("auto: fresh, ")
    assert "\n" not in choice.reason


@pytest.mark.parametrize(("cut", "filters"), [(30, ("drop_suspects",)), (60, ())])
def test_auto_does_not_take_texts_that_were_cut_for_wrong_labels(cut, filters):
    # Beginnings that agree, under other labels, look like suspects.
    one = told(section(), columns=data(0.2))
    one.truncated = cut  # of 4,000
    choice = advice.choose(one, 0.1, None)
    assert choice.filters == filters
    assert ("of the texts are cut" in choice.reason) == (not filters)


def test_auto_says_the_figures_it_went_by_and_what_it_does_not_know():
    columns = data(0.2, 0.02)
    reason = advice.choose(told(section("class", left_out(columns)), columns=columns), 0.1, None).reason
    zero = (columns["neighbour_agreement"] == 0).mean()
    # Of what is left without suspects.
    trusted = columns["neighbour_agreement"] != 0
    copies = (columns["duplicate_of"] != columns["index"])[trusted].mean()
    assert reason == (
        f"auto: fresh, drop_suspects ({zero:.1%} of the labels are shared by no neighbour, 0.0% by just one,"
        f" median agreement 0.80: wrong labels; {left_out(columns) / 4000:.1%} are copies of others (cosine"
        f" 0.96): {copies:.1%} are not above 5%)"
    )
    assert "does not know its examples' neighbours" in advice.choose(told(), 0.1, None).reason
    assert advice.choose(told(), 0.01, ()).reason == "auto: fresh, filters as given"
    without = section()
    without["agreement"] = None
    assert advice.choose(told(without), 0.01, None).filters == ()
    del (old := section())["duplicates"]["cover"]
    assert "30.0% are near-duplicates: a manifest of an earlier version does not show" in (
        advice.choose(told(old, columns=data(0.2, 0.3)), 0.1, None).reason
    )


def test_auto_is_the_default_and_is_printed_once_by_the_first_rank(capsys):
    advice.print_once.cache_clear()
    first = Curriculum(manifest(), 0.3, EPOCHS, seed=0)
    same = Curriculum(manifest(), 0.3, EPOCHS, "auto", seed=1)
    assert capsys.readouterr().err == f"{first.reason}\n"
    assert same.reason == first.reason
    assert (first.schedule, first.filters) == ("fresh", ())
    fresh = Curriculum(manifest(), 0.3, EPOCHS, "fresh", seed=0)
    assert fresh.reason == ""
    assert first.identity() == fresh.identity()


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_the_reason_is_printed_by_the_first_rank_only(rank, lines):
    code = (
        "import sys; from syllabus.manifests import Manifest; from syllabus.trainer import Curriculum\n"
        "Curriculum(Manifest.open(sys.argv[1]), 0.3, 4, seed=0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, manifest().location],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "RANK": rank},
    )
    assert len(done.stderr.splitlines()) == lines


# Filters


def kept_of(one: Manifest, filters: tuple[str, ...]) -> list[int]:
    """By the definition, row by row."""
    rows, gone = one.table("examples").to_pylist(), set()
    if "drop_suspects" in filters:
        for partition, size in enumerate(one.partition_sizes):
            suspects = {
                row["index"]
                for row in rows
                if row["partition"] == partition and row["neighbour_agreement"] == 0
            }
            if size > 10 and len(suspects) <= size / 2:
                gone |= suspects
    if "one_per_duplicate_group" in filters:
        gone |= {row["index"] for row in rows if row["duplicate_of"] not in {row["index"], *gone}}
    return [row["index"] for row in rows if row["index"] not in gone]


BOTH = ("one_per_duplicate_group", "drop_suspects")


@pytest.mark.parametrize("filters", [("drop_suspects",), ("one_per_duplicate_group",), BOTH])
@pytest.mark.parametrize("schedule", ["fresh", "redraw", "radius", "coverage"])
def test_filtered_examples_are_never_drawn_and_the_budget_stays(filters, schedule):
    one = manifest(240, 4, neighbours=True)
    kept = kept_of(one, filters)
    assert 30 < len(kept) < 240
    curriculum = quiet(one, 0.1, 30, schedule, seed=0, filters=filters)
    assert (len(curriculum), curriculum.n) == (24, len(kept))
    assert sum(curriculum.left_out.values()) == 240 - len(kept)
    np.testing.assert_array_equal(curriculum.examples, kept)
    seen = [curriculum.indices(epoch) for epoch in range(30)]
    assert set(np.concatenate(seen).tolist()) <= set(kept)
    if schedule in ("redraw", "radius"):
        owner = dict(zip(one.examples().tolist(), one.partitions().tolist(), strict=True))
        sizes = np.bincount([owner[i] for i in kept], minlength=4)
        for indices in seen:
            drawn = np.bincount([owner[i] for i in indices.tolist()], minlength=4)
            np.testing.assert_array_equal(drawn, allocate(24, sizes))
    if schedule == "fresh":
        cycle = -(-len(kept) // 24)
        assert set(np.concatenate(seen[:cycle]).tolist()) == set(kept)


def test_where_what_stands_for_an_example_is_left_out_the_example_stays():
    # Of a filter that came later than the manifest: 0 stands for 1 and 2.
    columns = data(n=40)
    columns["duplicate_of"][:3] = 0
    one = told(section("class", 2), columns=columns)
    kept = np.ones(40, np.bool_)
    np.testing.assert_array_equal(np.flatnonzero(~one_per_duplicate_group(one, kept)), [1, 2])
    kept[0] = False
    np.testing.assert_array_equal(np.flatnonzero(~one_per_duplicate_group(one, kept)), [0])


def test_a_filter_goes_on_as_it_was_on_a_manifest_of_an_earlier_version_with_a_warning():
    columns = {**data(n=40), "duplicate_group": np.arange(40) // 4 * 4}
    old = section()
    del old["duplicates"]["cover"]
    one = told(old, columns=columns)
    kept = one_per_duplicate_group(one, np.arange(40) != 8)
    np.testing.assert_array_equal(np.flatnonzero(kept), [0, 4, 9, *range(12, 40, 4)])
    with pytest.warns(UserWarning, match="does not say which example stands for which; one is kept of each"):
        Curriculum(one, 0.1, 4, "fresh", seed=0, filters=["one_per_duplicate_group"])


def test_no_class_loses_more_than_half_of_its_examples_as_suspects():
    columns = data(0.2)
    lost = columns["partition"] == 2
    columns["neighbour_agreement"][lost] = np.where(np.arange(lost.sum()) % 5 < 3, 0, 0.5)
    kept = drop_suspects(told(section(), columns=columns), np.ones(4000, np.bool_))
    assert kept[lost].all()
    assert not kept[~lost & (columns["neighbour_agreement"] == 0)].any()


def test_what_is_left_is_all_there_is_at_fraction_one():
    one = manifest(240, 4, neighbours=True)
    curriculum = quiet(one, 1.0, 4, "fresh", seed=0, filters=("drop_suspects",))
    assert len(curriculum) == curriculum.n == len(kept_of(one, ("drop_suspects",)))
    np.testing.assert_array_equal(curriculum.indices(3), curriculum.examples)
    assert sorted(ManifestSampler(curriculum)) == curriculum.examples.tolist()


@pytest.mark.parametrize(
    ("known", "name", "message"),
    [
        (None, "drop_suspects", "'drop_suspects': the manifest has no neighbour agreement"),
        (None, "one_per_duplicate_group", "the manifest has no duplicate groups"),
        (section("number"), "drop_suspects", "labels are of kind 'number' no agreement is suspect"),
    ],
)
def test_a_filter_that_has_nothing_to_go_by_is_refused(known, name, message):
    with pytest.raises(TrainerError, match=message):
        Curriculum(told(known), 0.1, 4, "fresh", seed=0, filters=[name])


def test_milos_stored_subsets_refuse_filters_and_its_draws_take_them():
    one = manifest(240, 4, neighbours=True)
    options = {"seed": 0, "filters": ("drop_suspects",)}
    with pytest.raises(TrainerError, match=r"stored subsets were chosen without; give easy_fraction=0"):
        Curriculum(one, 0.1, 12, "milo", **options)
    drawn = quiet(one, 0.1, 12, "milo", easy_fraction=0.0, **options)
    assert set(drawn.indices(3).tolist()) <= set(kept_of(one, ("drop_suspects",)))
