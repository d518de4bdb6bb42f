"""Decides batch sizes: a function of counts, measurements and a state of plain numbers; knows no model.

What is decided is the size of an update on all ranks together. Everything is counted in examples, so that a
run goes on the same way on another number of ranks.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from syllabus.trainer.batch_size.controller_state import STATE_VERSION, Limits, check_controller_state
from syllabus.trainer.batch_size.rule import Rule
from syllabus.trainer.batch_size.signals import Averages, Decision, Signals
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import flag, real, whole

NOTHING_MEASURED = Signals()
NONE_YET = Averages()
SLACK = 1e-12  # what float64 rounding may add to a quotient; ⌈·⌉ must not take it for an example more


class BatchSizeController:
    """Turns what a rule asks for into the batch size and learning-rate factor of the next updates.

    A rule's wish passes, in this order: the limit on growth, the order never to fall, the bounds, and
    rounding up to a multiple of the quantum (microbatch × ranks). Above `maximum` the learning rate falls
    instead, and rises again where the wish falls: by cap/wish for SGD, whose noise goes with lr/B, and by its
    root for Adam-like optimizers and `Seesaw`. The user's own scheduler stays in force: factors are
    multiplied into it.

    Args:
        rule: see `syllabus.trainer.batch_size`; `Rule` says how to write one.
        initial: B₀, the first size, in examples on all ranks; `Steps` knows its own.
        maximum: the largest size; None for no cap.
        minimum: the smallest; `initial` by default (with rules that follow a plan, 1).
        dwell: updates between two decisions, at least.
        every: examples between two decisions, at least; None lets the probe's cost decide (1% of the
            training, 0 where there is no probe).
        wait: updates before the first decision that changes anything. By default 0, and for rules that
            compare averages with their first value, those that `half_life` examples take.
        growth: by what factor one decision may raise the size; `math.inf` for no limit. By default 2, and no
            limit for rules that follow a plan.
        monotone: never lower the size. By default True, and False for rules that follow a plan.
        half_life: of the running averages of batch losses, norms and noise, in examples; 50·B₀ by default.
        beta2: ``half-life`` raises β₂ of Adam-like optimizers to the power B/B₀, so that it forgets after as
            many examples at any size (Marek et al., arXiv:2507.07101); ``fixed`` leaves it.

    Attributes:
        decision: the one in force.
        rule: as given.
        initial: as given.
        maximum: as given.

    Raises:
        TrainerError: an option outside its bounds.
    """

    def __init__(
        self,
        rule: Rule,
        initial: int | None = None,
        *,
        maximum: int | None = None,
        minimum: int | None = None,
        dwell: int = 1,
        every: int | None = None,
        wait: int | None = None,
        growth: float | None = None,
        monotone: bool | None = None,
        half_life: float | None = None,
        beta2: str = "half-life",
    ) -> None:
        if not isinstance(rule, Rule):
            raise TrainerError(f"BatchSizeController: rule={rule!r} is no Rule, such as GeoDamp(epochs=5)")
        where = "BatchSizeController"

        def count(name: str, value: Any, least: int) -> int | None:
            return None if value is None else whole(where, name, value, least)

        def number(name: str, value: Any) -> float | None:
            if value is None:
                return None
            if not (found := real(where, name, value)) >= 1:
                raise TrainerError(f"{where}: {name}={found:g} is below 1")
            return found

        own, initial = rule.initial, count("initial", initial, 1)
        begun = own if initial is None else initial
        if begun is None:
            raise TrainerError("BatchSizeController: initial is missing; give the first batch size")
        if initial is not None and own is not None and initial != own:
            raise TrainerError(f"BatchSizeController: initial={initial}, and {rule.name} begins at {own}")
        self.rule, self.initial = rule, begun
        self.minimum: int = count("minimum", minimum, 1) or (1 if rule.planned else begun)
        self.maximum = count("maximum", maximum, max(self.initial, self.minimum))
        dwell, every, wait = whole(where, "dwell", dwell, 1), count("every", every, 0), count("wait", wait, 0)
        growth, half_life = number("growth", growth), number("half_life", half_life)
        if beta2 not in ("half-life", "fixed"):
            raise TrainerError(f"BatchSizeController: beta2={beta2!r} is unknown; known: fixed, half-life")
        self.dwell, self.every, self.beta2 = dwell, every, beta2
        self.half_life = 50.0 * self.initial if half_life is None else half_life
        settling = math.ceil(self.half_life / self.initial) if rule.compares_averages else 0
        self.wait = settling if wait is None else wait
        self.growth = (math.inf if rule.planned else 2.0) if growth is None else growth
        self.monotone = not rule.planned if monotone is None else flag(where, "monotone", monotone)
        self.quantum, self.adam_like = 1, False
        self._state: dict[str, Any] = {"rule": rule.begin(self.initial), "sums": {}, "target": None}
        self._last: tuple[int, int] | None = None
        self._own_factor = 1.0  # the rule's, as the decision in force has it
        self.decision = Decision(0, 0, self._rounded(self.initial), target=float(self.initial))

    def bind(self, quantum: int, adam_like: bool = False) -> None:
        """Say what sizes must be multiples of, and whether the optimizer is Adam-like.

        Raises:
            TrainerError: `maximum` has no room for one quantum.
        """
        if quantum < 1:
            raise TrainerError(f"BatchSizeController.bind: quantum={quantum} is below 1")
        if self.maximum is not None and self.maximum < quantum:
            raise TrainerError(
                f"BatchSizeController: maximum={self.maximum} is below {quantum}, what sizes are multiples of"
            )
        self.quantum, self.adam_like = quantum, adam_like
        self.decision = self._applied(self.decision)

    def due(self, updates: int, examples: int) -> bool:
        """Return whether a decision is due after so many updates and examples."""
        if self._last is None:
            return True  # before the first update: what the rule compares with later is measured here
        return (
            updates >= self.wait
            and updates - self._last[0] >= self.dwell
            and examples - self._last[1] >= (self.every or 0)
        )

    def observe(self, signals: Signals) -> Averages:
        """Take `signals` into the running averages and return these."""
        sums: dict[str, list[float]] = self._state["sums"]
        if not sums and not signals.counts and signals.noise is None and signals.squared_gradient is None:
            return NONE_YET
        total = sum(signals.counts)
        for name, values in (("loss", signals.losses), ("norm", signals.norms)):
            for value, count in zip(values, signals.counts, strict=False):
                _add(sums, name, value, count, self.half_life)
        for name, estimate in (("noise", signals.noise), ("squared_gradient", signals.squared_gradient)):
            if estimate is not None:
                _add(sums, name, estimate, max(total, 1), self.half_life)
        # Each by itself: the mean of their quotients would be biased (McCandlish et al. 2018).
        return Averages(**{name: value / weight for name, (weight, value) in sums.items() if weight > 0})

    def decide(self, updates: int, examples: int, signals: Signals | None = None) -> Decision:
        """Return the decision in force after so many updates and examples; the old one if none is due.

        Args:
            updates: done so far.
            examples: trained on so far, by all ranks together.
            signals: measured since the decision before, over all ranks; None for none.

        Raises:
            TrainerError: counts that go backward, or what the rule raises.
        """
        signals = signals or NOTHING_MEASURED
        if self._last is not None and (updates < self._last[0] or examples < self._last[1]):
            raise TrainerError(
                f"BatchSizeController.decide: updates={updates}, examples={examples} lie before the last"
                f" decision (updates={self._last[0]}, examples={self._last[1]})"
            )
        if not self.due(updates, examples):
            return self.decision
        # A plan measures nothing; its averages are for the record only.
        averages = NONE_YET if self.rule.planned else self.observe(signals)
        at = Decision(updates, examples, self.decision.batch_size, signals=signals, averages=averages)
        wish = self.rule.target(self._state["rule"], self.initial, at)
        before = self._state["target"]
        if before is None:
            before = float(self.initial)
        if wish is None or math.isnan(wish) or updates < self.wait:
            wish = before  # nothing is known: the size stays
        wish = min(wish, before * self.growth)
        if self.monotone:
            wish = max(wish, before)
        wish = max(wish, float(self.minimum))
        first = self._last is None
        self._state["target"], self._last = wish, (updates, examples)
        own = self.rule.lr_factor(self._state["rule"])
        if first or wish != before or own != self._own_factor:
            self.decision = self._applied(at)
        else:  # what most decisions of a plan come to; made anew it would take longer than the plan
            _, _, size, factor, power, target, _, _ = self.decision
            self.decision = Decision(updates, examples, size, factor, power, target, signals, averages)
        return self.decision

    def _applied(self, at: Decision) -> Decision:
        """Return what the state's target means at `at` for this quantum and optimizer."""
        wish = self._state["target"]
        wish = float(self.initial) if wish is None else wish
        size = self._rounded(wish)
        factor = self._own_factor = self.rule.lr_factor(self._state["rule"])
        if self.maximum is not None and wish > self.maximum:
            factor *= (self.maximum / wish) ** self.rule.past_cap(self.adam_like)
        scaled = self.rule.lr_exponent(self.adam_like)
        halved = self.beta2 == "half-life" and self.adam_like
        growth = size / self._rounded(self.initial) if scaled or halved else 1.0
        if scaled and growth != 1:
            factor *= growth**scaled
        power = growth if halved else 1.0
        return Decision(
            at.updates,
            at.examples,
            size,
            factor,
            power,
            target=wish,
            signals=at.signals,
            averages=at.averages,
        )

    def _rounded(self, size: float) -> int:
        """Return the smallest multiple of the quantum not below `size`, or the largest within the cap."""
        if self.maximum is not None:
            size = min(size, float(self.maximum))
        if not math.isfinite(size):
            raise TrainerError(f"{self.rule.name}: a batch size without bound is asked for; give maximum")
        up = max(math.ceil(size * (1 - SLACK) / self.quantum), 1) * self.quantum
        if self.maximum is not None and up > self.maximum:
            return self.maximum // self.quantum * self.quantum
        return up

    def state_dict(self) -> dict[str, Any]:
        """Return plain values, equal on every rank: O(1), but for what a rule keeps of its own."""
        return {
            "version": STATE_VERSION,
            "identity": self._identity(),
            "last": None if self._last is None else list(self._last),
            "decision": self.decision.state(),
            **copy.deepcopy(self._state),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, which may be of another number of ranks or another microbatch.

        Raises:
            TrainerError: the state is of another version, rule or options.
        """
        self.take(self.checked(state))

    def checked(self, state: Any) -> dict[str, Any]:
        """Return what `take` takes of a state that was checked; changes nothing."""
        limits = Limits(self.initial, self.minimum, self.maximum, self.growth)
        return check_controller_state(state, self._identity(), self.rule, limits)

    def take(self, checked: dict[str, Any]) -> None:
        """Continue from what `checked` returned."""
        before = self._state
        self._state = {name: copy.deepcopy(checked[name]) for name in ("rule", "sums", "target")}
        try:
            self.decision = self._applied(Decision.of(checked["decision"]))
        except BaseException:  # a size without bound, or what a user's own rule raises
            self._state = before
            raise
        self._last = None if checked["last"] is None else (checked["last"][0], checked["last"][1])

    def _identity(self) -> dict[str, Any]:
        names = ("initial", "maximum", "minimum", "dwell", "every", "wait", "growth", "monotone", "half_life")
        options = {name: getattr(self, name) for name in names}
        return {"rule": self.rule.identity(), **options, "beta2": self.beta2}


def _add(sums: dict[str, list[float]], name: str, value: float, count: int, half_life: float) -> None:
    """Add `count` examples of `value` to a running average: [weight, weighted sum]."""
    if not math.isfinite(value):
        return  # one overflow must not stay in the average for ever
    keep = 0.5 ** (count / half_life)
    weight, total = sums.get(name, [0.0, 0.0])
    sums[name] = [weight * keep + count, total * keep + count * value]
