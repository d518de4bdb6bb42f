"""Weights that leave hardly any choice: examples heavier than an epoch, partitions of one, epochs of none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import write_small_manifest
from weighted import even, quiet, weighted

from syllabus.trainer import Curriculum, ManifestSampler, TrainerError
from syllabus.trainer.curriculum.schedules import SCHEDULES, may_be_empty

DRAWN = ("coverage", "fresh", "milo", "radius", "redraw")


def made(tmp_path, weights, classes=1):
    importances = ("disparity_min", "facility_location", "radius")
    folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    options = {"classes": classes, "fractions": (), "importances": importances, "sketch_dim": 0}
    return write_small_manifest(folder, n=len(weights), weights=weights, **options)


def test_a_fraction_below_any_example_is_refused_and_an_epoch_without_one_before_the_first(tmp_path):
    manifest = made(tmp_path, [50, 70, 90] * 3)
    with pytest.raises(TrainerError, match=r"fraction=0\.07 of 630 tokens is less than any example weighs"):
        Curriculum(manifest, 0.07, 3, "fresh", seed=0)
    with pytest.raises(TrainerError, match=r"has no example: .* 50 tokens; give a larger") as caught:
        quiet(manifest, 0.08, 13, "fresh")
    first = int(str(caught.value).split()[2])
    until = quiet(manifest, 0.08, first, "fresh")
    assert all(until.count(epoch) for epoch in range(first))
    assert not len(SCHEDULES["fresh"](until.pool, first))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_epoch_is_empty_where_none_may_be(data, tmp_path_factory):
    weights = data.draw(st.lists(st.sampled_from([1, 3, 10, 200, 10**12]), min_size=4, max_size=14))
    classes = data.draw(st.integers(1, 4))
    manifest = made(tmp_path_factory.mktemp("m"), weights, classes)
    options = {"budgets": data.draw(st.sampled_from(["equal", "proportional", "sqrt"])), "easy_fraction": 0}
    fraction, schedule = data.draw(st.sampled_from([0.05, 0.3, 0.6])), data.draw(st.sampled_from(DRAWN))
    try:
        curriculum = quiet(manifest, fraction, 5, schedule, **options)
    except TrainerError as error:
        if "any example weighs" in str(error) or "has no example" in str(error):
            return
        raise
    assert all(curriculum.count(epoch) == len(curriculum.indices(epoch)) > 0 for epoch in range(5))
    if not may_be_empty(curriculum.pool):
        for seed in range(20):
            other = quiet(manifest, fraction, 5, schedule, **options, seed=seed)
            assert all(len(SCHEDULES[schedule](other.pool, epoch)) for epoch in range(5))


def test_texts_of_usual_lengths_are_not_drawn_beforehand(monkeypatch):
    monkeypatch.setattr(Curriculum, "indices", None)
    assert not may_be_empty(quiet(weighted(), 0.25, 4, "fresh").pool)


def test_an_example_heavier_than_an_epoch_is_a_warning(tmp_path):
    manifest = made(tmp_path, [300, *[7] * 99], classes=3)
    with pytest.warns(UserWarning, match="heaviest example has 300 tokens, more than the 298 of an epoch"):
        Curriculum(manifest, 0.3, 2, "redraw", seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Curriculum(manifest, 0.31, 2, "redraw", seed=0)


@pytest.mark.parametrize("schedule", ["fresh", "redraw"])
@pytest.mark.parametrize("rule", ["equal", "proportional"])
def test_a_function_may_give_what_a_draw_by_partition_gives(schedule, rule, tmp_path):
    weights = np.random.default_rng(0).choice([3, 97, 100], 120)
    manifest = made(tmp_path, weights, classes=12)

    def mine(curriculum, epoch):
        return SCHEDULES[schedule](curriculum.pool, epoch)

    own, theirs = (quiet(manifest, 0.12, 40, each, budgets=rule) for each in (mine, schedule))
    for epoch in range(40):
        np.testing.assert_array_equal(own.indices(epoch), theirs.indices(epoch))


def test_a_state_in_tokens_is_none_of_a_run_in_examples():
    tokens = ManifestSampler(quiet(even(3), 1 / 6, 4, "fresh"))
    examples = ManifestSampler(quiet(even(None), 0.5, 4, "fresh"))
    assert tokens.curriculum.budget == examples.curriculum.budget == 51
    for one, other in ((tokens, examples), (examples, tokens)):
        next(iter(one))
        with pytest.raises(TrainerError, match=r"unit is .* in the state and .* here; total is"):
            other.load_state_dict(one.state_dict())
