"""Studies as queues: every run once, by any number of processes, whatever dies on the way.

Each rung is a study, and each run of it a slot, which is queued as a waiting trial. A waiting trial is taken
by one process only. Two processes that queue the same slot at once leave two trials of it: the later one is
passed over. A process that dies leaves a running trial whose heartbeat stops; it is taken for failed after
`studies.GRACE` seconds, and its slot is queued again.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syllabus.trainer.tuning.result import Result
from syllabus.trainer.tuning.studies import Claim, quiet

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

ATTEMPTS = 3  # deaths of its process after which a run is given up
FORGOTTEN = "failures up to here are forgotten"


def finished(study: optuna.Study) -> dict[str, FrozenTrial]:
    """Return the trial of each slot that has a score or has failed by itself."""
    return _finished(study, study.get_trials(deepcopy=False))


def _finished(study: optuna.Study, trials: Sequence[FrozenTrial]) -> dict[str, FrozenTrial]:
    found: dict[str, FrozenTrial] = {}
    forgotten = study.user_attrs.get(FORGOTTEN, -1)
    for trial in trials:
        slot = trial.user_attrs.get("slot")
        failed = "error" in trial.user_attrs and trial.number > forgotten
        done = trial.state.is_finished() and ("result" in trial.user_attrs or failed)
        if slot is not None and done and slot not in found:
            found[slot] = trial
    return found


def results(study: optuna.Study, share: float, slots: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Return what came of the slots of a rung at `share`, all of them done."""
    done = finished(study)
    found = []
    for slot in slots:
        attributes = done[slot["slot"]].user_attrs
        result = attributes.get("result", {})
        found.append(
            Result(
                configuration=slot["configuration"],
                share=share,
                params=json.loads(attributes.get("params", "{}")),
                score=result.get("score"),
                seed_scores=tuple(result.get("seed_scores", ())),
                examples=result.get("examples", attributes.get("examples", 0)),
                error=attributes.get("error", ""),
            )
        )
    return found


def forget_failures(study: optuna.Study) -> None:
    """Let a study begin anew whose every run failed: the mistake in the function has been mended, perhaps."""
    trials = study.get_trials(deepcopy=False)
    alive = any(trial.state.name == "RUNNING" for trial in trials)
    failed = [trial.number for trial in trials if "error" in trial.user_attrs]
    if failed and not alive and not any("result" in trial.user_attrs for trial in trials):
        study.set_user_attr(FORGOTTEN, max(failed))


def work(
    study: optuna.Study,
    slots: Sequence[Mapping[str, Any]],
    objective: Callable[[optuna.Trial], float],
    claim: Claim,
    told: Callable[[str], None],
) -> None:
    """Queue the slots that are not done, and run until all are, here or elsewhere.

    Args:
        study: of the rung.
        slots: user attributes of a trial each, ``slot`` among them.
        objective: runs one trial, and sets its ``result`` or ``error``.
        claim: held while a trial is taken.
        told: is told a line when other processes are waited for.
    """
    waited = False
    while True:
        trials = study.get_trials(deepcopy=False)
        done = _finished(study, trials)
        missing = [slot for slot in slots if slot["slot"] not in done]
        if not missing:
            return
        waiting = sum(trial.state.name == "WAITING" for trial in trials)
        open_slots = {trial.user_attrs.get("slot") for trial in trials if not trial.state.is_finished()}
        for slot in missing:
            if slot["slot"] not in open_slots:
                own = [trial for trial in trials if trial.user_attrs.get("slot") == slot["slot"]]
                waiting += _queue(study, slot, [each for each in own if "superfluous" not in each.user_attrs])
        if waiting:
            waited = False
            with quiet(), contextlib.ExitStack() as claiming:
                claiming.enter_context(claim)
                one = functools.partial(_first_only, study, objective, claiming.close)
                study.optimize(one, n_trials=1, catch=(Failed,))
            continue
        if not waited:
            told(f"waiting for {len(missing)} runs of other processes")
            waited = True
        time.sleep(0.5)
        _fail_the_dead(study)


class Failed(Exception):
    """A run that has no score; the reason is in its trial."""


def _first_only(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    claimed: Callable[[], None],
    trial: optuna.Trial,
) -> float:
    """Run the trial unless it is of no slot, or another of its slot came before and is done or alive."""
    from optuna import TrialPruned

    claimed()
    slot = trial.user_attrs.get("slot")
    trials = study.get_trials(deepcopy=False)
    earlier = [t for t in trials if t.number < trial.number and t.user_attrs.get("slot") == slot]
    if slot is None or slot in _finished(study, earlier) or not all(t.state.is_finished() for t in earlier):
        trial.set_user_attr("superfluous", True)
        raise Failed("queued twice")
    try:
        return objective(trial)
    except Failed as error:
        # As pruned, not as failed: samplers then stay away from there.
        raise TrialPruned from error
    except BaseException:  # Ctrl-C, or a mistake that ends the search: the process did not die of the run
        trial.set_user_attr("interrupted", True)
        raise


def _queue(study: optuna.Study, slot: Mapping[str, Any], before: Sequence[FrozenTrial]) -> bool:
    """Queue a slot, with the parameters of the attempt before it; after some deaths, give it up: False."""
    import optuna

    dead = [trial for trial in before if not {"interrupted", "error"} & set(trial.user_attrs)]
    parameters = before[-1].params if before else {}
    if len(dead) >= ATTEMPTS:
        error = f"its process died {len(dead)} times"
        study.add_trial(
            optuna.create_trial(
                state=optuna.trial.TrialState.FAIL,
                params=parameters,
                distributions=before[-1].distributions,
                user_attrs={**slot, "error": error},
            )
        )
        return False
    values, marks = (before[-1].intermediate_values, before[-1].user_attrs) if before else ({}, {})
    kept = {"params": marks["params"]} if "params" in marks else {}
    scores = {str(k): v for k, v in values.items()}
    study.enqueue_trial(parameters, user_attrs={**kept, **slot, "scores": scores})
    return True


def _fail_the_dead(study: optuna.Study) -> None:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
