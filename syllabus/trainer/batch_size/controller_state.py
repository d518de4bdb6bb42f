"""The states of controllers, and of what applies them: their entries, and whether they go together."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

from syllabus.trainer.batch_size.rule import Rule
from syllabus.trainer.batch_size.signals import Averages
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.states import (
    COUNT,
    Field,
    differences,
    entries,
    equal,
    integer,
    mapping,
    number,
    optional,
    row,
    section,
    several,
)
from syllabus.trainer.validation import shown

STATE_VERSION = 1
MEASURED = number(finite=False)  # what diverges is not finite
SIGNALS = {
    "losses": several(MEASURED),
    "counts": several(integer()),
    "norms": several(MEASURED),
    **{name: optional(MEASURED) for name in ("noise", "squared_gradient", "probe_loss", "probe_norm")},
    "epoch": integer(),
}
AVERAGES = {field.name: optional(number()) for field in dataclasses.fields(Averages)}
DECISION = {
    "updates": integer(),
    "examples": integer(),
    "batch_size": integer(1),
    "lr_factor": number(0),
    "beta2_power": number(0),
    "target": number(0, finite=False),
    "signals": section(SIGNALS),
    "averages": section(AVERAGES),
}
PENDING = row(MEASURED, integer(1), optional(MEASURED), optional(MEASURED), integer(1))


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a controller's sizes are bound by: as of `BatchSizeController`."""

    initial: int
    minimum: int
    maximum: int | None
    growth: float


def check_controller_state(
    state: Any, identity: dict[str, Any], rule: Rule, limits: Limits
) -> dict[str, Any]:
    """Return the entries of a controller's state, each sound, all of one decision.

    Raises:
        TrainerError: it is of another version, rule or options, or not sound.
    """
    where = "BatchSizeController"
    state = mapping(where, "the state", state)
    if not equal(state.get("version"), STATE_VERSION):
        raise TrainerError(
            f"{where}: version is {shown(state.get('version'))}; this code reads {STATE_VERSION}"
        )
    if wrong := differences(mapping(where, "identity", state.get("identity")), identity):
        raise TrainerError(f"{where}: {wrong}")
    fields: dict[str, Field] = {
        "last": optional(row(integer(), integer())),
        "decision": section(DECISION),
        "target": optional(
            number(limits.minimum, COUNT if limits.maximum is None else math.inf, finite=False)
        ),
        "rule": rule.check_state(limits.initial),
        "sums": _sums,
    }
    found = entries(where, state, fields)
    last, decision, target = found["last"], found["decision"], found["target"]
    if [decision["updates"], decision["examples"]] != (last or [0, 0]) or (last is None) != (target is None):
        raise TrainerError(f"{where}: last={last}, target={target} and the decision do not agree")
    if target is not None and math.isnan(target):
        raise TrainerError(f"{where}: target={target:g} is no size")
    if target is not None and math.isfinite(limits.growth):
        # At most one decision an update, and one before the first, raises the size.
        most = math.log(max(limits.initial, limits.minimum)) + (last[0] + 1) * math.log(limits.growth)
        if math.log(target) > most + 1e-6:
            raise TrainerError(f"{where}: target={target:g} is more than growth={limits.growth:g} allows")
    return found


def check_applied_state(state: Any) -> dict[str, Any]:
    """Return the entries of the state of an `AdaptiveBatchSize`; the controller's is checked by itself."""
    where = "AdaptiveBatchSize"
    counts = dict.fromkeys(("updates", "examples", "epoch", "position"), integer())
    found = entries(where, state, {**counts, "controller": mapping})
    updates, examples = found["updates"], found["examples"]
    if not updates <= examples or found["position"] > examples or (examples and not updates):
        raise TrainerError(
            f"{where}: updates={updates}, examples={examples} and position={found['position']} do not agree"
        )
    last = {**DECISION, "updates": integer(0, updates), "examples": integer(0, examples)}
    found |= entries(
        where, state, {"pending": several(PENDING, updates), "records": several(section(last), updates + 1)}
    )
    waiting = sum(entry[1] for entry in found["pending"])
    if waiting > examples or any(entry[4] > entry[1] for entry in found["pending"]):
        raise TrainerError(f"{where}: pending: {waiting} examples of {examples}, or a part above the whole")
    places = [record["updates"] for record in found["records"]]
    if any(after < before for before, after in itertools.pairwise(places)):
        raise TrainerError(f"{where}: records: their updates do not rise")
    return found


def check_progress(found: dict[str, Any], last: list[int] | None) -> None:
    """Raise where a controller's `last` decision is not one that these counts can have had."""
    updates, examples = found["updates"], found["examples"]
    if (last is None and updates) or (last is not None and (last[0] > updates or last[1] > examples)):
        raise TrainerError(
            f"AdaptiveBatchSize: updates={updates}, examples={examples}, and the last decision was at {last}"
        )


def _sums(where: str, name: str, value: Any) -> dict[str, list[float]]:
    """Running averages, [weight, weighted sum] each."""
    pairs = mapping(where, name, value)
    strange = [key for key in pairs if key not in AVERAGES]
    if strange:
        raise TrainerError(f"{where}: {name} has {shown(strange[0])}; known: {', '.join(AVERAGES)}")
    return entries(where, pairs, dict.fromkeys(pairs, row(number(0, COUNT), number())), name)
