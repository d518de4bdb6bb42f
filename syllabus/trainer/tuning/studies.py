"""Optuna's storage, studies and samplers, as a search uses them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syllabus.trainer import counter_rng
from syllabus.trainer.errors import TrainerError

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

HEARTBEAT, GRACE = 10, 60  # seconds
OPENINGS = 6
SAMPLERS = ("tpe", "random")


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
        alive = getattr(location, "heartbeat_interval", None)
        if not alive and not isinstance(location, optuna.storages.InMemoryStorage):
            warnings.warn(
                "Search: the storage has no heartbeat: a run whose process is killed is waited for without"
                " end; give its URL, or RDBStorage(url, heartbeat_interval=10)",
                stacklevel=3,
            )
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


class Claim:
    """What to hold while a waiting trial is taken: sqlite itself may give one to two processes.

    Of other databases Optuna locks the row. A process that dies while it holds this lock keeps the others
    waiting for half a minute.
    """

    def __init__(self, storage: Any) -> None:
        from optuna.storages.journal import JournalFileOpenLock

        url = str(getattr(storage, "url", ""))
        local = url.startswith("sqlite:///")
        self._lock = JournalFileOpenLock(url.removeprefix("sqlite:///")) if local else None

    def __enter__(self) -> None:
        if self._lock is not None:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            with contextlib.suppress(RuntimeError):  # held so long that another process took it
                self._lock.release()


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
    with quiet():
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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's log to what it cannot do; runs and their errors are told by the search."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
