"""Searches: every run once, whoever dies; what is promoted, and with which rate; what is said."""

from __future__ import annotations

import statistics
from collections import Counter
from importlib.util import find_spec

import pytest
import torch
import toy_search
from small_manifest import write_small_manifest
from toy_search import ALPHA, BEST, memory, search

from syllabus.trainer import TrainerError
from syllabus.trainer.tuning import draw

pytestmark = pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")


def of(summary, share):
    return [result for result in summary.results if result.share == pytest.approx(share)]


def test_the_best_of_a_rung_go_on_and_rates_are_carried(folder):
    runs = []

    def train(run):
        runs.append((run.share, run.configuration, run.params["lr"], len(run.curriculum)))
        return toy_search.score(run)

    summary = search(folder, train, scheme="rungs", share=1 / 30, configurations=18, finalists=2).run()
    counts = Counter(share for share, *_ in runs)
    assert counts == {1 / 30: 18, 1 / 10: 6, 1.0: 2}
    assert all(examples == round(share * 600) for share, *_, examples in runs)
    for shorter, longer in ((1 / 30, 1 / 10), (1 / 10, 1.0)):
        best = sorted(of(summary, shorter), key=lambda result: -result.score)[: len(of(summary, longer))]
        assert [r.configuration for r in best] == [r.configuration for r in of(summary, longer)]
    (exponent,) = summary.exponents.values()
    assert exponent.low < ALPHA < exponent.high
    first = {r.configuration: r for r in of(summary, 1 / 30)}
    for result in of(summary, 1 / 10):  # after one rung the exponent is the prior
        before = first[result.configuration]
        assert result.params["lr"] == pytest.approx(before.params["lr"] * (1 / 3) ** 0.5)
        assert result.params["width"] == before.params["width"]
    assert summary.params["width"] == 64
    assert abs(summary.score - 1) < 0.1
    assert summary.full_runs == pytest.approx(18 / 30 + 6 / 10 + 2, rel=0.05)
    assert (summary.instead_of, summary.maximize) == (18, True)


def test_rates_of_adam_are_moved_less(folder):
    space = {"lr": {"low": 1e-3, "high": 1e-1}, "width": [64], "optimizer": ["AdamW", "sgd"]}
    summary = search(folder, space=space, configurations=12, sampler="random").run()
    assert {*summary.exponents} == {"AdamW", "sgd"}
    assert summary.exponents["AdamW"].value < summary.exponents["sgd"].value
    one = search(folder, space=space, configurations=12, sampler="random", correction="off", name="off").run()
    for with_it, without in zip(of(summary, 1 / 30), of(one, 1 / 30), strict=True):
        power = {"AdamW": 0.3, "sgd": 0.5}[with_it.params["optimizer"]]
        assert with_it.params["lr"] == pytest.approx(without.params["lr"] * 30**power)


def test_the_correction_moves_the_best_rate_of_short_runs_to_full_ones(folder):
    rates = {}
    for correction in ("off", ALPHA):
        options = {
            "correction": correction,
            "configurations": 40,
            "name": str(correction),
            "sampler": "random",
        }
        finalists = of(search(folder, **options).run(), 1.0)
        rates[correction] = statistics.geometric_mean(result.params["lr"] for result in finalists)
    assert BEST / 2 < rates[ALPHA] < 2 * BEST
    assert rates["off"] > 4 * BEST


def test_a_search_goes_on_where_it_was_stopped_and_runs_nothing_twice(folder):
    runs = []

    def stopping(run):
        runs.append((run.share, run.configuration))
        if len(runs) == 5:
            raise KeyboardInterrupt
        return toy_search.score(run)

    with pytest.raises(KeyboardInterrupt):
        search(folder, stopping, storage="database").run()
    summary = search(folder, stopping, storage="database").run()
    assert Counter(runs) == {**dict.fromkeys(set(runs), 1), runs[4]: 2}
    again = len(runs)
    assert str(search(folder, stopping, storage="database").run()) == str(summary)
    assert len(runs) == again


def test_equal_searches_are_equal(folder):
    one, other = (search(folder, sampler=s, name=n).run() for s, n in (("tpe", "a"), ("tpe", "b")))
    assert str(one) == str(other)
    random = search(folder, sampler="random", name="c").run()
    assert [r.params for r in random.results] != [r.params for r in one.results]


def test_failed_and_collapsed_runs_are_recorded_and_the_rest_goes_on(folder):
    def train(run):
        if run.configuration == 1:
            raise ValueError("diverged\nmore")
        return float("nan") if run.configuration == 2 else toy_search.score(run)

    summary = search(folder, train, configurations=6).run()
    errors = {r.configuration: r.error for r in summary.results if r.error}
    assert errors == {1: "ValueError: diverged", 2: "collapsed: the score is nan"}
    assert "failed: 1 × ValueError: diverged" in str(summary)
    assert {1, 2}.isdisjoint(r.configuration for r in of(summary, 1.0))
    assert summary.full_runs == pytest.approx(6 / 30 + 3, rel=0.02)  # what collapsed was trained, too


def test_a_mistake_in_the_function_stops_the_search_and_is_forgotten_once_it_is_mended(folder):
    def broken(_):
        raise NameError("modle")

    storage = memory()
    with pytest.raises(TrainerError, match="the first 3 runs failed, the last with NameError: modle"):
        search(folder, broken, storage=storage).run()
    summary = search(folder, storage=storage).run()
    assert not [r for r in summary.results if r.error]
    assert len(of(summary, 1 / 30)) == 27


def test_finalists_run_on_paired_seeds(folder):
    runs = []

    def train(run):
        runs.append((run.share, run.configuration, run.seed))
        return toy_search.score(run)

    summary = search(folder, train, configurations=9, finalists=2, seeds=3, seed=5).run()
    full = [(configuration, seed) for share, configuration, seed in runs if share == 1]
    assert sorted(Counter(c for c, _ in full).values()) == [3, 3]
    assert {seed for _, seed in full} == {5, 6, 7}
    best = next(r for r in of(summary, 1.0) if r.configuration == summary.configuration)
    assert summary.score == pytest.approx(sum(best.seed_scores) / 3)
    assert summary.instead_of == 9 + 2 * 2
    assert summary.full_runs == pytest.approx(9 / 30 + 6, rel=0.02)


def test_another_search_of_the_same_name_is_refused(folder):
    storage = memory()
    search(folder, storage=storage).run()
    with pytest.raises(TrainerError, match=r"begun with seed=0, here it is 1; give another name"):
        search(folder, seed=1, storage=storage).run()
    with pytest.raises(TrainerError, match="begun with curriculum"):
        search(folder, curriculum={"schedule": "redraw"}, storage=storage).run()
    write_small_manifest(folder / "m", n=601, fractions=(0.1,), overwrite=True)
    with pytest.raises(TrainerError, match="begun with fingerprint"):
        search(folder, storage=storage).run()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"space": {}}, "space is empty"),
        ({"space": {"lr": 3}}, "space: lr=3: expected"),
        ({"space": {"lr": {"low": 1.0, "high": 0.1}}}, "space: lr: "),
        ({"space": {"lr": {"low": 0.0, "high": 0.1, "log": False}}}, "something else than a number above 0"),
        ({"learning_rate": "rate"}, "learning_rate 'rate' is not in the space: lr, width"),
        ({"scheme": "halving"}, "scheme 'halving' is unknown; known: rungs, i-epoch, full"),
        ({"scheme": [(0.1, 27), (0.05, 3), (1.0, 1)]}, "shares rise"),
        ({"scheme": [0.1]}, "no list of"),
        ({"configurations": 2, "finalists": 3}, "finalists=3 is outside"),
        ({"share": 0.0001, "curriculum": {"schedule": "fresh"}}, "Curriculum: "),
        ({"share": 1.5}, "share=1.5 is outside"),
        ({"correction": "of"}, "correction 'of' is unknown; known: fit, off"),
        ({"correction": 9}, "correction=9 is outside"),
        ({"sampler": "grid"}, "sampler 'grid' is unknown"),
        ({"curriculum": {"fraction": 0.1}}, "fraction is set by the search itself"),
        ({"storage": "mysql://nowhere/x"}, "storage 'mysql://nowhere/x' cannot be opened"),
    ],
)
def test_mistakes_are_one_line(folder, options, line):
    with pytest.raises(TrainerError) as told:
        search(folder, **options)
    assert line in str(told.value)
    assert "\n" not in str(told.value)


def test_without_a_learning_rate_nothing_is_corrected(folder):
    def train(run):
        return -run.params["width"]

    summary = search(folder, train, space={"width": [1, 2, 3]}, configurations=5, maximize=False).run()
    assert summary.params == {"width": 3}
    assert dict(summary.exponents) == {}


def test_optimizers_have_exponents_of_their_own(folder):
    def train(run):
        return toy_search.score(run, ALPHA if run.params["optimizer"] == "sgd" else 0.0)

    space = {**toy_search.SPACE, "optimizer": ["sgd", "adamw"]}
    options = {"scheme": "rungs", "configurations": 81, "sampler": "random"}
    summary = search(folder, train, space=space, **options).run()
    assert summary.exponents["adamw"].value < 0.35 < summary.exponents["sgd"].value
    assert "learning rates of sgd go with" in str(summary)


def test_the_pictures_show_every_run_and_are_inert(folder):
    pytest.importorskip("plotly")
    pytest.importorskip("matplotlib")

    def train(run):
        return toy_search.score(run)

    hostile = "</script><script>alert(1)</script>"
    space = {**toy_search.SPACE, "net": [hostile, "b"]}
    summary = search(folder, train, space=space).run()
    draw(summary, folder / "search.png")
    draw(summary, folder / "search.html")
    assert (folder / "search.png").read_bytes()[:4] == b"\x89PNG"
    page = (folder / "search.html").read_text()
    assert hostile not in page
    assert page.count("configuration ") >= 27
    with pytest.raises(TrainerError, match=r"neither in \.png nor in \.html"):
        draw(summary, folder / "search.gif")


def test_a_function_as_schedule_is_the_same_in_another_process(folder):
    storage = memory()
    for _ in range(2):
        options = {"curriculum": {"schedule": lambda curriculum, _epoch: curriculum.examples[:20]}}
        search(folder, configurations=3, storage=storage, **options).run()
    other = search(
        folder, configurations=3, storage=storage,
        curriculum={"schedule": lambda curriculum, _epoch: curriculum.examples[1:21]},
    )  # fmt: skip
    with pytest.raises(TrainerError, match="begun with curriculum"):
        other.run()


def test_checkpoints_are_of_what_is_trained(folder):
    paths = set()
    for low in (1e-4, 1e-3):

        def train(run):
            paths.add((run.configuration, run.share, run.checkpoint))
            return toy_search.score(run)

        search(folder, train, configurations=3, space={"lr": {"low": low, "high": 1.0}, "width": [64]}).run()
    assert len({path for *_, path in paths}) == len(paths) == 12


def test_once_a_function_is_mended_one_failure_does_not_stop_the_search(folder):
    storage, mended = memory(), False

    def train(run):
        if not mended or run.configuration == 3:
            raise ValueError("no")
        return toy_search.score(run)

    with pytest.raises(TrainerError, match="first 3 runs failed"):
        search(folder, train, storage=storage, configurations=6).run()
    mended = True
    assert [r.error for r in search(folder, train, storage=storage, configurations=6).run().results].count(
        ""
    ) == 8


def test_a_mistake_in_what_is_returned_is_no_death(folder):
    storage, found = memory(), iter([None, "x", None, None])
    for _ in range(4):
        with pytest.raises(TrainerError, match="expected a score"):
            search(folder, lambda _run: next(found), storage=storage, configurations=4).run()
    summary = search(folder, storage=storage, configurations=4).run()
    assert [result.error for result in summary.results] == [""] * 7


@pytest.mark.parametrize(
    ("optimizer", "name", "alpha"),
    [(torch.optim.AdamW, "AdamW", 0.3), (torch.optim.SGD, "SGD", 0.5), (None, "", 0.5)],
)
def test_an_optimizer_that_nobody_names_is_seen_in_the_first_run(folder, optimizer, name, alpha):
    asked: dict[int, float] = {}

    def train(run):
        asked[run.configuration] = run.params["lr"]
        if optimizer is not None:
            weight = torch.nn.Parameter(torch.ones(1))
            weight.grad = torch.ones(1)
            optimizer([weight], lr=run.params["lr"]).step()
        return toy_search.score(run)

    space = {"lr": [0.01], "width": [64]}  # every run asks for the same rate of a full run
    options = {"configurations": 4, "scheme": [(1 / 10, 4), (1, 2)]}
    for storage in (memory(),) * 2:  # the second one only reads what is there
        summary = search(folder, train, space=space, storage=storage, **options).run()
        assert list(summary.exponents) == [name]
        assert summary.exponents[name].value == pytest.approx(alpha)
        cheap = {result.configuration: result.params["lr"] for result in summary.results if result.share < 1}
        assert cheap[0] == pytest.approx(0.01 * 10**0.5)  # nothing was seen yet
        assert [cheap[k] for k in (1, 2, 3)] == pytest.approx([0.01 * 10**alpha] * 3)
    for result in of(summary, 1):
        assert result.params["lr"] == pytest.approx(cheap[result.configuration] * 10**-alpha)


def test_runs_of_several_optimizers_that_are_not_named_keep_the_prior_of_any(folder):
    def train(run):
        weight = torch.nn.Parameter(torch.ones(1))
        weight.grad = torch.ones(1)
        kind = torch.optim.Adam if run.params["width"] == 64 else torch.optim.SGD
        kind([weight], lr=run.params["lr"]).step()
        return toy_search.score(run)

    summary = search(folder, train, configurations=9).run()
    assert list(summary.exponents) == [""]
