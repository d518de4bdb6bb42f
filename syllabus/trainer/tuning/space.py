"""Search spaces: a mapping from the names of hyperparameters to what each may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syllabus.trainer.errors import TrainerError
from syllabus.trainer.validation import flag, plain_scalar, real, whole

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RATES = ("lr", "learning_rate")
OPTIMIZERS = ("optimizer", "opt")


def parse_space(space: Any) -> dict[str, BaseDistribution]:
    """Return a search space as Optuna's distributions.

        parse_space({
            "lr": {"low": 1e-4, "high": 1e-1, "log": True},     # a number; log by default for learning rates
            "layers": {"low": 1, "high": 4},                    # whole, as both bounds are
            "width": [64, 128, 256],                            # one of these
        })

    Args:
        space: name -> ``{low, high, log, step}``, a list of choices, or a distribution of Optuna's.

    Raises:
        TrainerError: an empty space, or an entry that is none of these.
    """
    from optuna.distributions import BaseDistribution

    if not isinstance(space, Mapping) or not space:
        raise TrainerError("Search: space is empty; give each hyperparameter a range or a list of choices")
    found: dict[str, BaseDistribution] = {}
    for name, entry in space.items():
        if not isinstance(name, str):
            raise TrainerError(f"Search: space: {name!r} is no name")
        found[name] = entry if isinstance(entry, BaseDistribution) else _distribution(name, entry)
    return found


def learning_rates(space: Mapping[str, BaseDistribution], given: Any) -> tuple[str, ...]:
    """Return which hyperparameters are learning rates: those given, else those called so.

    Raises:
        TrainerError: a name that is not in the space, or is no positive number.
    """
    from optuna.distributions import CategoricalDistribution

    names = [name for name in RATES if name in space] if given is None else given
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in space:
            raise TrainerError(f"Search: learning_rate {name!r} is not in the space: {', '.join(space)}")
        entry = space[name]
        least = entry.choices if isinstance(entry, CategoricalDistribution) else (entry.low,)  # type: ignore[attr-defined]
        if not all(isinstance(value, (int, float)) and value > 0 for value in least):
            raise TrainerError(f"Search: learning_rate {name!r} may be something else than a number above 0")
    return tuple(names)


def _distribution(name: str, entry: Any) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    where = f"Search: space: {name}"
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        choices = [plain_scalar(choice) for choice in entry]
        if not choices or not all(isinstance(choice, (str, int, float, bool)) for choice in choices):
            raise TrainerError(
                f"{where}: a list of choices has texts, numbers and truth values, at least one"
            )
        return CategoricalDistribution(choices)
    if not isinstance(entry, Mapping) or not {"low", "high"} <= set(entry) <= {"low", "high", "log", "step"}:
        raise TrainerError(f"{where}={entry!r}: expected {{low, high, log, step}} or a list of choices")
    low, high = plain_scalar(entry["low"]), plain_scalar(entry["high"])
    counted = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in (low, high))
    log = flag(where, "log", entry.get("log", name in RATES))
    step = entry.get("step")
    try:
        if counted:
            return IntDistribution(low, high, log, 1 if step is None else whole(where, "step", step, 1))
        low, high = real(where, "low", low), real(where, "high", high)
        return FloatDistribution(low, high, log, None if step is None else real(where, "step", step))
    except ValueError as error:
        raise TrainerError(f"{where}: {error}") from None
