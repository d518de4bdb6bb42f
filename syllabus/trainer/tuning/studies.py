"""Optuna's studies as queues: every run once, by any number of processes, whatever dies on the way.

Each rung is a study, and each run of it a slot, which is queued as a waiting trial. Optuna gives a waiting
trial to one process only. Two processes that queue the same slot at once leave two trials of it: the later
one is passed over. A process that dies leaves a running trial whose heartbeat stops; it is taken for failed
after `GRACE` seconds, and its slot is queued again.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syllabus.trainer import counter_rng
from syllabus.trainer.errors import TrainerError

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

HEARTBEAT, GRACE = 10, 60  # seconds
OPENINGS = 6
ATTEMPTS = 3  # deaths of its process after which a run is given up
SAMPLERS = ("tpe", "random")
FORGOTTEN = "failures up to here are forgotten"


def open_storage(location: Any, folder: str) -> Any:
    """Return Optuna's storage: an object as it is, a URL or a path of sqlite; by default a file in `folder`.

    Raises:
        TrainerError: Optuna is not installed; the storage cannot be opened.
    """
    try:
        import optuna
        from optuna.exceptions import ExperimentalWarning
    except ImportError:
        raise TrainerError("tuning needs Optuna: pip install 'syllabus[tune]'") from None
    if location is not None and not isinstance(location, (str, os.PathLike)):
        return location
    url = os.fspath(Path(folder) / "search.db") if location is None else os.fspath(location)
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{url}"
    for left in reversed(range(OPENINGS)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of heartbeats
            try:
                return optuna.storages.RDBStorage(url, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
            except Exception as error:
                if not left or type(error).__module__ == "builtins":
                    line = (str(error).splitlines() or [type(error).__name__])[0]
                    raise TrainerError(f"Search: storage {url!r} cannot be opened: {line}") from error
        time.sleep(0.5)  # another process is just making the tables
    return None


def open_study(storage: Any, name: str, maximize: bool, sampler: str, seed: int, enough: int) -> optuna.Study:
    """Open or create the study of a rung.

    Args:
        storage: of `open_storage`.
        name: of the study.
        maximize: whether larger scores are better.
        sampler: ``tpe`` or ``random``; either is seeded by `seed` and the trial's number.
        seed: of the sampler.
        enough: seeds of a finalist from which on Wilcoxon's test may stop it early.
    """
    import optuna

    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if enough >= 4:  # four pairs are the fewest that the test can tell apart at p = .1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=3)
    with _quiet():
        return optuna.create_study(
            storage=storage,
            study_name=name,
            load_if_exists=True,
            direction="maximize" if maximize else "minimize",
            sampler=_numbered(sampler, seed),
            pruner=pruner,
        )


def _numbered(kind: str, seed: int) -> Any:
    import optuna

    class Numbered(optuna.samplers.BaseSampler):  # type: ignore[misc]
        """A sampler that begins anew for every trial, seeded by its number: processes never draw alike."""

        def __init__(self) -> None:
            self._inner = self._fresh(0)

        def _fresh(self, number: int) -> Any:
            own = counter_rng.key(seed, "hyperparameters", number)[0] & 0x7FFFFFFF
            if kind == "random":
                return optuna.samplers.RandomSampler(seed=own)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                # Runs that are not finished count as bad ones: processes do not crowd at one place.
                return optuna.samplers.TPESampler(seed=own, multivariate=True, constant_liar=True)

        def before_trial(self, study: Any, trial: Any) -> None:
            self._inner = self._fresh(trial.number)
            self._inner.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
            return dict(self._inner.infer_relative_search_space(study, trial))

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return dict(self._inner.sample_relative(study, trial, search_space))

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            return self._inner.sample_independent(study, trial, name, distribution)

    return Numbered()


def suggested(trial: optuna.Trial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return one value of each hyperparameter for a trial."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    values: dict[str, Any] = {}
    for name, entry in space.items():
        if isinstance(entry, CategoricalDistribution):
            values[name] = trial.suggest_categorical(name, entry.choices)
        elif isinstance(entry, IntDistribution):
            values[name] = trial.suggest_int(name, entry.low, entry.high, step=entry.step, log=entry.log)
        else:
            values[name] = trial.suggest_float(name, entry.low, entry.high, step=entry.step, log=entry.log)  # type: ignore[attr-defined]
    return values


def check_identity(study: optuna.Study, identity: Mapping[str, Any]) -> None:
    """Write what a search is into its first study, or compare it with what stands there.

    Raises:
        TrainerError: the study is of another search.
    """
    if (text := study.user_attrs.get("search")) is None:
        study.set_user_attr("search", json.dumps(identity))
        return
    stored = json.loads(text)
    for name, value in json.loads(json.dumps(identity)).items():
        if stored.get(name) != value:
            raise TrainerError(
                f"Search: study {study.study_name!r} was begun with {name}={stored.get(name)!r}, here it is"
                f" {value!r}; give another name or another storage"
            )


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
    told: Callable[[str], None],
) -> None:
    """Queue the slots that are not done, and run until all are, here or elsewhere.

    Args:
        study: of the rung.
        slots: user attributes of a trial each, ``slot`` among them.
        objective: runs one trial, and sets its ``score`` or ``error``.
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
            with _quiet():
                study.optimize(functools.partial(_first_only, study, objective), n_trials=1, catch=(Failed,))
            continue
        if not waited:
            told(f"waiting for {len(missing)} runs of other processes")
            waited = True
        time.sleep(0.5)
        _fail_the_dead(study)


class Failed(Exception):
    """A run that has no score; the reason is in its trial."""


def _first_only(
    study: optuna.Study, objective: Callable[[optuna.Trial], float], trial: optuna.Trial
) -> float:
    """Run the trial unless it is of no slot, or another of its slot came before and is done or alive."""
    from optuna import TrialPruned

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
    except KeyboardInterrupt:
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
    values = before[-1].intermediate_values if before else {}
    study.enqueue_trial(parameters, user_attrs={**slot, "scores": {str(k): v for k, v in values.items()}})
    return True


def _fail_the_dead(study: optuna.Study) -> None:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's log to what it cannot do; runs and their errors are told by the search."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
