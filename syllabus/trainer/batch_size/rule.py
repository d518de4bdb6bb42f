"""What a rule is: the size that it wishes for, as a function of its state and of what was measured."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from syllabus.selectors.numerics.scalars import plain_scalar
from syllabus.trainer.batch_size.signals import Decision
from syllabus.trainer.states import Field, entries


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule for the batch size: a frozen dataclass of its options; the controller keeps its state.

    To write one, give `target`, and `needs` for what it reads:

        @dataclasses.dataclass(frozen=True)
        class Linear(Rule):
            planned: ClassVar[bool] = True
            per_million: float = 1.0

            def target(self, state, initial, at):
                return initial * (1 + self.per_million * at.examples / 1e6)

    Class attributes:
        needs: of ``loss`` (batch losses), ``norm`` (of batch gradients), ``noise``, ``probe_loss`` and
            ``probe_norm``, what must be measured.
        planned: whether it follows a plan and needs no measurement.

    Property `compares_averages` says that it compares running averages with their first value, which then
    must settle before.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    planned: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    def initial(self) -> int | None:
        """The first size, where the rule itself says so."""
        return None

    @property
    def compares_averages(self) -> bool:
        """Whether a first value must settle before the first decision."""
        return False

    def begin(self, initial: int) -> dict[str, Any]:  # noqa: ARG002 - rules with a budget use it
        """Return the state before the first update: plain values."""
        return {}

    def check_state(self, initial: int) -> Field:
        """Return what checks a state that is loaded; by default that it has the names of `begin`."""
        names = self.begin(initial)

        def check(where: str, name: str, value: Any) -> dict[str, Any]:
            entries(where, value, dict.fromkeys(names, lambda _where, _name, one: one), name)
            return dict(value)

        return check

    def target(self, state: dict[str, Any], initial: int, at: Decision) -> float | None:
        """Return the wished size, in examples; None keeps the last. May change `state`.

        Args:
            state: what `begin` made and earlier calls left.
            initial: B₀.
            at: updates, examples, signals and averages so far, and the size in force.
        """
        raise NotImplementedError

    def lr_factor(self, state: dict[str, Any]) -> float:  # noqa: ARG002 - Seesaw uses it
        """Return what the rule itself multiplies the learning rate by."""
        return 1.0

    def lr_exponent(self, adam_like: bool) -> float:  # noqa: ARG002 - Steps uses it
        """Return p where the learning rate goes with (B/B₀)^p: 0 but for `Steps`."""
        return 0.0

    def past_cap(self, adam_like: bool) -> float:
        """Return p where the learning rate falls by (cap/wish)^p once the size cannot grow.

        SGD's noise goes with lr/B; that of Adam-like optimizers, whose steps are normalised, with lr²/B.
        """
        return 0.5 if adam_like else 1.0

    def _take_plain(self) -> None:
        """Make Python's own of options that are scalars of numpy or torch, so that states are plain."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain_scalar(getattr(self, field.name)))

    def identity(self) -> dict[str, Any]:
        """Return name and options in plain values: a state is only loaded where they are equal."""
        return {"name": self.name, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}}
