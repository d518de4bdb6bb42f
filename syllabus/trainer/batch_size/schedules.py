"""Rules that follow a plan made before: sizes by examples, or a learning-rate schedule traded for sizes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from syllabus.trainer.batch_size.rule import Rule
from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.states import Field, integer, number, section

UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
SCALINGS = {"none": 0.0, "root": 0.5, "linear": 1.0}
ENTRY = re.compile(r"(\d+(?:\.\d+)?)([kmbe]?):(\d+)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Steps(Rule):
    """Sizes from given places on, such as ``0:64 50k:128 200k:512``: from 50,000 examples on, 128.

    The form of Megatron's ``--step-batch-size-schedule``. Places are examples (k, M, B for thousands,
    millions, billions) or finished epochs, ``0:64 5e:128 12e:512``, not both.

    Args:
        plan: such a text; places rise from 0.
        scaling: how the learning rate goes with the size: ``none``, ``root``, ``linear``; ``auto`` is the
            root for Adam-like optimizers, none for others, where the step *is* the decay.

    Raises:
        TrainerError: a text that cannot be read, places that do not rise from 0, a size below 1.
    """

    planned: ClassVar[bool] = True
    plan: str
    scaling: str = "auto"

    def __post_init__(self) -> None:
        self._take_plain()
        if self.scaling not in ("auto", *SCALINGS):
            known = ", ".join(("auto", *SCALINGS))
            raise TrainerError(f"Steps: scaling={self.scaling!r} is unknown; known: {known}")
        places = [place for place, _, _ in self.entries]
        if not places or places[0] != 0:
            raise TrainerError(f"Steps: {self.plan!r} does not begin at 0, such as '0:64 50k:128'")
        if len({epochs for place, epochs, _ in self.entries if place}) > 1:
            raise TrainerError(f"Steps: {self.plan!r} has places in examples and in epochs; use one of them")
        if any(b <= a for a, b in itertools.pairwise(places)):
            raise TrainerError(f"Steps: the places of {self.plan!r} do not rise")
        if min(size for _, _, size in self.entries) < 1:
            raise TrainerError(f"Steps: {self.plan!r} has a size below 1")

    @classmethod
    def warm_up(cls, initial: int, measured: Sequence[tuple[int, int]], scaling: str = "auto") -> Steps:
        """Return the critical-batch warm-up: double the size where the critical batch has doubled.

        Merrill et al., arXiv:2505.23971. A size is used from the first measurement on that allows it.

        Args:
            initial: the first size.
            measured: (examples, critical batch) in the order of training, as `critical_batch` measures them.
            scaling: as of `Steps`.
        """
        plan, size = [f"0:{initial}"], initial
        for examples, critical in measured:
            doubled = size * 2 ** max(math.floor(math.log2(max(critical, 1) / size)), 0)
            if doubled > size and examples > 0:
                plan, size = [*plan, f"{examples}:{doubled}"], doubled
        return cls(" ".join(plan), scaling)

    @functools.cached_property
    def entries(self) -> list[tuple[int, bool, int]]:
        """(place, whether it is in epochs, size) of each step."""
        found = []
        for word in self.plan.replace(",", " ").split():
            match = ENTRY.fullmatch(word)
            if match is None:
                raise TrainerError(
                    f"Steps: {word!r} of {self.plan!r} is not PLACE:SIZE, such as 50k:128 or 5e:128"
                )
            number, unit, size = match[1], match[2].lower(), int(match[3])
            place = float(number) * (1 if unit == "e" else UNITS[unit])
            if place != int(place):
                raise TrainerError(
                    f"Steps: {word!r} of {self.plan!r} is no whole number of examples or epochs"
                )
            found.append((int(place), unit == "e", size))
        return found

    @property
    def initial(self) -> int:
        """The first size."""
        return self.entries[0][2]

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float:  # noqa: ARG002
        """Return the size of the last place that was reached."""
        reached = [
            s for place, epochs, s in self.entries if (at.signals.epoch if epochs else at.examples) >= place
        ]
        return float(reached[-1])

    def lr_exponent(self, adam_like: bool) -> float:
        """Return the power of the size that the learning rate goes with."""
        return (0.5 if adam_like else 0.0) if self.scaling == "auto" else SCALINGS[self.scaling]

    def past_cap(self, adam_like: bool) -> float:  # noqa: ARG002
        """Return 0: the learning rate follows the size that is in force."""
        return 0.0


@dataclasses.dataclass(frozen=True)
class Seesaw(Rule):
    """Where a schedule would halve the learning rate, divide it by √2 and double the size.

    Meterez et al., arXiv:2510.14717, for Adam-like optimizers below the critical batch size: as many
    examples, for a cosine about 36% fewer updates. The schedule is given here *instead of* to a scheduler:
    while it rises, the learning rate follows it; from its peak on, h halvings make it peak·2^(−h/2) and the
    size B₀·2^h.

    Args:
        schedule: examples -> the learning rate's factor, not below 0, such as `cosine(1_000_000)`.
        halvings: how many at most; what is asked for beyond lowers the learning rate no further.

    Raises:
        TrainerError: something that cannot be called, a bound below 1; later, a factor that is no number or
            negative.
    """

    planned: ClassVar[bool] = True
    schedule: Callable[[int], float]
    halvings: int = 20

    def __post_init__(self) -> None:
        self._take_plain()
        if not callable(self.schedule):
            raise TrainerError(
                f"Seesaw: schedule={self.schedule!r} cannot be called; give examples -> factor"
            )
        if self.halvings < 1:
            raise TrainerError(f"Seesaw: halvings={self.halvings} is below 1")

    def begin(self, initial: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the schedule's first value as its peak."""
        first = self._at(0)
        return {"peak": first, "factor": first, "halved": 0}

    def check_state(self, initial: int) -> Field:  # noqa: ARG002 - as every rule's
        """Return what checks that the factor is the peak's, so many times halved."""
        fields = section({"peak": number(0), "factor": number(0), "halved": integer(0, self.halvings)})

        def check(where: str, name: str, value: Any) -> dict[str, Any]:
            found: dict[str, Any] = fields(where, name, value)
            if found["factor"] != found["peak"] * 2 ** (-found["halved"] / 2):
                raise TrainerError(f"{where}: {name}: factor, peak and halved do not agree")
            return found

        return check

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float:
        """Return B₀·2^h."""
        value = self._at(at.examples)
        if not state["halved"] and value >= state["peak"]:
            state["peak"] = value
        elif state["peak"] > 0:
            # A schedule that rises again (restarts) gives no size back: h only grows.
            ratio = math.log2(state["peak"] / value) if value > 0 else math.inf
            asked = self.halvings if ratio == math.inf else math.floor(ratio + 1e-9)
            state["halved"] = max(state["halved"], min(asked, self.halvings))
        state["factor"] = state["peak"] * 2 ** (-state["halved"] / 2)
        return float(initial * 2.0 ** state["halved"])

    def lr_factor(self, state: dict[str, Any]) -> float:
        """Return peak·2^(−h/2)."""
        return float(state["factor"])

    def past_cap(self, adam_like: bool) -> float:  # noqa: ARG002
        """Return ½: where the size cannot double, the learning rate halves after all."""
        return 0.5

    def identity(self) -> dict[str, Any]:
        """Return the name, the bound and the schedule's values at some places: it has no name of its own."""
        values = [round(self._at(10**power), 12) for power in range(10)]
        return {"name": self.name, "halvings": self.halvings, "schedule": values}

    def _at(self, examples: int) -> float:
        value = float(self.schedule(examples))
        if not (math.isfinite(value) and value >= 0):
            raise TrainerError(f"Seesaw: the schedule is {value} at {examples} examples; expected 0 or more")
        return value


def cosine(examples: int, warm_up: int = 0) -> Callable[[int], float]:
    """Return a schedule for `Seesaw`: up in a line over `warm_up` examples, then half a cosine to 0.

    Raises:
        TrainerError: `warm_up` is outside [0, examples).
    """
    if not 0 <= warm_up < examples:
        raise TrainerError(f"cosine: warm_up={warm_up} is outside [0, examples={examples})")

    def schedule(place: int) -> float:
        if place < warm_up:
            return place / warm_up
        share = min((place - warm_up) / (examples - warm_up), 1.0)
        return 0.5 * (1 + math.cos(math.pi * share))

    return schedule
