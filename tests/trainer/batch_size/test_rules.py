"""Each rule against numbers worked out by hand, and what it refuses."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from syllabus.trainer import TrainerError
from syllabus.trainer.batch_size import (
    AdaDamp,
    AdaDampNN,
    BatchSizeController,
    GeoDamp,
    NoiseScale,
    NormTest,
    PadaDamp,
    RadaDamp,
    Seesaw,
    Signals,
    Steps,
    cosine,
    published,
)
from syllabus.trainer.batch_size.noise import estimates


def sizes(controller, signals, count=10):
    """Decide after each of some updates of `count` examples."""
    return [controller.decide(k, k * count, signal).batch_size for k, signal in enumerate(signals)]


def test_the_published_rule_to_the_integer():
    # F* = 1/4, F₀ - F* = 2: B = ⌈3·2/(F - 1/4)⌉, by hand.
    losses = ["9/4", "2", "7/4", "5/4", "3", "3/4", "1/2", "5/16", "17/64", "5"]
    expected = [3, 4, 4, 6, 3, 12, 24, 96, 384, 2]
    by_fractions = [math.ceil(3 * 2 / (Fraction(loss) - Fraction(1, 4))) for loss in losses]
    assert by_fractions == expected
    controller = published(3, optimum=0.25)
    found = sizes(controller, [Signals(probe_loss=float(Fraction(loss))) for loss in losses])
    assert found == expected
    assert controller.decision.lr_factor == controller.decision.beta2_power == 1


def test_rounding_up_is_not_misled_by_float64():
    # 3·(1.0)/0.1 is 30 and not 31, however 0.1 is stored; 1/0.3 thirds are ten.
    controller = published(3)
    assert sizes(controller, [Signals(probe_loss=1.0), Signals(probe_loss=0.1), Signals(probe_loss=0.3)]) == [
        3,
        30,
        10,
    ]


def test_the_published_rule_has_no_cap_and_a_loss_at_the_optimum_is_an_error():
    controller = published(2)
    assert sizes(controller, [Signals(probe_loss=1.0), Signals(probe_loss=1e-9)]) == [2, 2_000_000_000]
    with pytest.raises(TrainerError, match="AdaDamp: the loss 0 is not above optimum=0"):
        controller.decide(2, 20, Signals(probe_loss=0.0))
    with pytest.raises(TrainerError, match=r"the first loss 0.5 is not above optimum=0.5"):
        published(2, optimum=0.5).decide(0, 0, Signals(probe_loss=0.5))


def test_adadamp_guards_its_denominator():
    controller = BatchSizeController(AdaDamp(optimum=0.5, guard=0.01), 8, growth=math.inf)
    assert sizes(controller, [Signals(probe_loss=1.5), Signals(probe_loss=0.4)]) == [8, 800]


def test_adadamp_by_averages_begins_at_the_end_of_wait():
    controller = BatchSizeController(AdaDamp(loss="average"), 10, wait=2, half_life=10, growth=math.inf)
    signals = [Signals(), *(Signals(losses=(loss,), counts=(10,)) for loss in (8.0, 4.0, 1.0))]
    decided = [controller.decide(k, 10 * k, signal) for k, signal in enumerate(signals[:2])]
    assert [d.batch_size for d in decided] == [10, 10]
    # Not due at 1, so both losses come at 2: weights ½ and 1, (8·½ + 4)/1.5 = 16/3 is the first loss.
    second = controller.decide(2, 20, Signals(losses=(8.0, 4.0), counts=(10, 10)))
    assert (second.batch_size, second.averages.loss) == (10, pytest.approx(16 / 3))
    # (8·¼ + 4·½ + 1)/1.75 = 20/7, and 10·(16/3)/(20/7) = 18.67.
    third = controller.decide(3, 30, signals[3])
    assert third.averages.loss == pytest.approx(20 / 7)
    assert third.batch_size == 19


def test_an_average_does_not_depend_on_how_many_updates_the_examples_are_divided_into():
    def average(counts):
        controller = BatchSizeController(AdaDamp(loss="average"), 4, half_life=100, wait=0)
        losses = tuple(2.0 for _ in counts), tuple(6.0 for _ in counts)
        controller.decide(0, 0)
        return controller.observe(Signals(losses=losses[0] + losses[1], counts=tuple(counts) * 2)).loss

    assert average([100]) == pytest.approx((2 * 0.5 + 6) / 1.5)
    assert average([50, 50]) == pytest.approx(
        (2 * (0.5**1.5 + 0.5) + 6 * (0.5**0.5 + 1)) / sum(0.5 ** (k / 2) for k in range(4))
    )


def test_the_estimated_optimum_is_exact_where_the_loss_falls_as_one_over_examples():
    controller = BatchSizeController(AdaDamp(optimum="estimated", guard=1e-6), 10, growth=math.inf)
    for k in range(1, 401):
        decision = controller.decide(k, 10 * k, Signals(probe_loss=3 + 100 / (10 * k)))
    # F₀ - F* is 10 at ten examples, F - F* 1/40 at 4,000; F* = 3 is found.
    assert decision.target == pytest.approx(10 * 10 * 40, rel=1e-3)


def test_adadampnn_goes_with_the_squared_norm():
    controller = BatchSizeController(AdaDampNN(guard=0.1), 6, growth=math.inf, every=0)
    found = sizes(controller, [Signals(probe_norm=norm) for norm in (8.0, 4.0, 3.0, 0.01)])
    assert found == [6, 12, 16, 60]
    with pytest.raises(TrainerError, match="the gradient is 0"):
        BatchSizeController(AdaDampNN(guard=0), 6, growth=math.inf).decide(0, 0, Signals(probe_norm=0.0))


def test_radadamp_smooths_the_smallest_loss_and_norm():
    controller = BatchSizeController(RadaDamp(), 10, wait=0, growth=math.inf)
    signals = [
        Signals(),
        Signals(losses=(4.0, 2.0), counts=(5, 5), norms=(8.0, 9.0)),
        Signals(losses=(1.0, 3.0), counts=(5, 5), norms=(3.0, 2.0)),
    ]
    # L: 2, then .2·2 + .8·1 = 1.2; N: 8, then .2·8 + .8·2 = 3.2: 10 / ½(.6 + .4) = 20.
    assert sizes(controller, signals) == [10, 10, 20]


@pytest.mark.parametrize(
    ("rule", "initial"),
    [
        (PadaDamp(rate=0.5), 8),
        (PadaDamp(final=64, examples=4096 + 64), 8),
        (PadaDamp(updates=100, examples=5000), 8),
    ],
)
def test_padadamp_grows_in_a_line(rule, initial):
    rate = rule.rate_from(initial)
    controller = BatchSizeController(rule, initial)
    found = sizes(controller, [Signals()] * 50)
    assert found == [math.ceil((initial + rate * k) * (1 - 1e-12)) for k in range(50)]


def test_padadamp_meets_the_size_and_the_updates_that_it_is_asked_for():
    def run(rule, total):
        controller, updates, examples = BatchSizeController(rule, 32), 0, 0
        while examples < total:
            size = controller.decide(updates, examples).batch_size
            updates, examples = updates + 1, examples + size
        return updates, size

    _, last = run(PadaDamp(final=540, examples=1_000_000), 1_000_000)
    assert last == pytest.approx(540, rel=0.01)
    updates, _ = run(PadaDamp(updates=4000, examples=1_000_000), 1_000_000)
    assert updates == pytest.approx(4000, rel=0.01)
    # The figures of the paper's own run: B₀ 128, r .013022, 31,664 updates -> 541 (logged).
    controller = BatchSizeController(PadaDamp(rate=0.013022), 128)
    assert controller.decide(31_664, 10_540_000).batch_size == 541


def test_geodamp_grows_by_steps_of_epochs_or_examples():
    controller = BatchSizeController(GeoDamp(factor=5, epochs=2), 32)
    assert sizes(controller, [Signals(epoch=epoch) for epoch in range(6)]) == [32, 32, 160, 160, 800, 800]
    controller = BatchSizeController(GeoDamp(factor=1.5, examples=25), 32)
    assert sizes(controller, [Signals()] * 7) == [32, 32, 32, 48, 48, 72, 72]


def test_steps_are_read_and_followed():
    controller = BatchSizeController(Steps("0:64 0.02k:128 50:512 0.06K:32"))
    assert controller.initial == 64
    assert sizes(controller, [Signals()] * 8) == [64, 64, 128, 128, 128, 512, 32, 32]
    by_epochs = BatchSizeController(Steps("0:4,2e:8"))
    assert sizes(by_epochs, [Signals(epoch=epoch) for epoch in range(4)]) == [4, 4, 8, 8]
    assert [place for place, _, _ in Steps("0:1 2k:2 3M:3 1b:4").entries] == [0, 2000, 3_000_000, 10**9]


def test_steps_scale_the_learning_rate_by_the_root_for_adam_and_not_for_sgd():
    for adam_like, scaling, factor in (
        (True, "auto", 2), (False, "auto", 1), (False, "root", 2), (True, "none", 1), (False, "linear", 4)
    ):  # fmt: skip
        controller = BatchSizeController(Steps("0:16 10:64", scaling))
        controller.bind(1, adam_like)
        controller.decide(0, 0)
        assert controller.decide(1, 10).lr_factor == factor


def test_a_warm_up_doubles_where_the_critical_batch_has_doubled():
    plan = Steps.warm_up(64, [(0, 500), (1000, 100), (2000, 130), (5000, 1100), (9000, 900)])
    assert plan.plan == "0:64 2000:128 5000:1024"


def test_seesaw_halves_the_cosine_into_roots_and_doublings():
    total = 1000
    controller = BatchSizeController(Seesaw(cosine(total)), 8)
    for k in range(100):
        examples = 10 * k
        decision = controller.decide(k, examples)
        halvings = math.floor(-math.log2(cosine(total)(examples)) + 1e-9)
        assert decision.batch_size == 8 * 2**halvings
        assert decision.lr_factor == pytest.approx(2 ** (-halvings / 2))
        # lr² / B is what the noise of normalised steps goes with: as the cosine's, within a halving.
        ratio = decision.lr_factor**2 / decision.batch_size * 8 / cosine(total)(examples) ** 2
        assert 0.99 <= ratio <= 4.01


def test_seesaw_follows_a_schedule_up_and_lowers_the_learning_rate_past_the_cap():
    controller = BatchSizeController(Seesaw(cosine(1000, warm_up=100)), 8, maximum=16)
    assert [controller.decide(k, 20 * k).lr_factor for k in range(6)] == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 1]
    )
    decision = controller.decide(50, 900)  # three halvings and a half: one doubling, two left to the rate
    halvings = math.floor(-math.log2(cosine(1000, 100)(900)))
    assert halvings >= 3
    assert decision.batch_size == 16
    # √½ for the doubling that there is, ½ for each that there is not.
    assert decision.lr_factor == pytest.approx(2**-0.5 * 0.5 ** (halvings - 1))


def test_the_noise_is_estimated_without_bias():
    noise, squared = 12.0, 3.0
    small, large = squared + noise / 4, squared + noise / 32
    assert estimates(small, large, 4, 32) == pytest.approx((noise, squared))


def test_rules_by_noise():
    measured = Signals(losses=(1.0,), counts=(10,), norms=(4.0,), noise=120.0, squared_gradient=3.0)
    assert sizes(BatchSizeController(NoiseScale(), 8, growth=math.inf), [Signals(), measured]) == [8, 40]
    assert sizes(BatchSizeController(NoiseScale(0.5), 8, growth=math.inf), [Signals(), measured]) == [8, 20]
    assert sizes(BatchSizeController(NormTest(0.5), 8, growth=math.inf), [Signals(), measured]) == [8, 120]
    # 120/100 ≤ 1²·4: passed, so the size stays.
    assert sizes(BatchSizeController(NormTest(1.0), 100), [Signals(), measured]) == [100, 100]
    negative = Signals(losses=(1.0,), counts=(10,), norms=(4.0,), noise=120.0, squared_gradient=-1.0)
    assert sizes(BatchSizeController(NoiseScale(), 8), [Signals(), negative, negative]) == [8, 16, 32]


@pytest.mark.parametrize("rule", [NoiseScale(), NormTest()])
def test_noise_that_is_never_measured_is_an_error(rule):
    controller = BatchSizeController(rule, 8)
    with pytest.raises(TrainerError, match="no noise was measured in 10 decisions"):
        sizes(controller, [Signals()] * 12)


def test_nothing_measured_leaves_the_size():
    for rule in (AdaDamp(), AdaDampNN(), RadaDamp(), AdaDamp(loss="average")):
        controller = BatchSizeController(rule, 8, wait=0)
        assert sizes(
            controller, [Signals(), Signals(probe_loss=math.nan, losses=(math.inf,), counts=(3,))]
        ) == [8, 8]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaDamp(loss="exact"), "AdaDamp: loss='exact' is unknown; known: average, probe"),
        (lambda: AdaDamp(optimum=math.nan), "optimum=nan is neither a finite number nor 'estimated'"),
        (lambda: AdaDamp(guard=1.0), r"guard=1.0 is outside \[0, 1\)"),
        (lambda: AdaDampNN(gradient="all"), "gradient='all' is unknown"),
        (lambda: RadaDamp(reduction="sum"), "reduction 'sum' is unknown; known: min, mean, median, max"),
        (lambda: RadaDamp(keep=-0.1), r"keep=-0.1 is outside \[0, 1\)"),
        (lambda: PadaDamp(), "nothing is given; give rate, or final and examples"),
        (lambda: PadaDamp(rate=1, final=3), "rate, final is given"),
        (lambda: PadaDamp(rate=-1), "rate=-1 is not above 0"),
        (
            lambda: PadaDamp(final=8, examples=100).rate_from(16),
            "final=8 would let the batch size fall below initial=16",
        ),
        (
            lambda: PadaDamp(updates=100, examples=100).rate_from(16),
            "updates=100 of 1 examples each would let",
        ),
        (lambda: GeoDamp(), "give epochs or examples, one of the two"),
        (lambda: GeoDamp(epochs=1, examples=1), "one of the two"),
        (lambda: GeoDamp(factor=1, epochs=1), "factor=1 is not above 1"),
        (lambda: GeoDamp(epochs=0), "epochs=0 is not above 0"),
        (lambda: Steps("50k:128"), "does not begin at 0"),
        (lambda: Steps(""), "does not begin at 0"),
        (lambda: Steps("0:64 5:x"), "'5:x' of '0:64 5:x' is not PLACE:SIZE"),
        (lambda: Steps("0:64 5:2 5:3"), "do not rise"),
        (lambda: Steps("0:64 5k:2 6e:3"), "in examples and in epochs"),
        (lambda: Steps("0:64 5:0"), "has a size below 1"),
        (lambda: Steps("0:64 0.5:2"), "no whole number of examples or epochs"),
        (lambda: Steps("0:64", scaling="sqrt"), "scaling='sqrt' is unknown; known: auto, none, root, linear"),
        (lambda: Seesaw(3), "schedule=3 cannot be called"),
        (lambda: Seesaw(cosine(10), halvings=0), "halvings=0 is below 1"),
        (lambda: Seesaw(lambda _: -1.0).begin(8), "the schedule is -1.0 at 0 examples"),
        (lambda: cosine(10, 10), r"warm_up=10 is outside \[0, examples=10\)"),
        (lambda: NoiseScale(0), "scale=0 is not above 0"),
        (lambda: NormTest(1.5), r"eta=1.5 is outside \(0, 1\]"),
    ],
)
def test_errors_name_the_option_its_value_and_the_bound(make, message):
    with pytest.raises(TrainerError, match=message):
        make()
