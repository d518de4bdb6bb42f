"""Search: configurations on short runs first, the best in full, all on one manifest."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syllabus.manifests import Manifest
from syllabus.trainer.curriculum import Curriculum
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.tuning import queue, studies
from syllabus.trainer.tuning.correction import Correction
from syllabus.trainer.tuning.horizon import Exponent
from syllabus.trainer.tuning.recognition import stepping
from syllabus.trainer.tuning.result import Result, ranked
from syllabus.trainer.tuning.run import Run
from syllabus.trainer.tuning.schemes import Rung, plan
from syllabus.trainer.tuning.space import learning_rates, parse_space
from syllabus.trainer.tuning.summary import Summary, summarise
from syllabus.trainer.validation import flag, one_of, plain_scalar, whole

if TYPE_CHECKING:
    import optuna

SUSPICIOUS = 3  # configurations that fail at the very start, all of them, are a mistake in the function


class Search:
    """Finds good hyperparameters with few full runs' worth of examples.

        def train(run):                                       # a tuning.Run
            model, optimizer = make(run.params["width"], lr=run.params["lr"])
            sampler = ManifestSampler(run.curriculum, ids=run.data["id"])
            fit(model, run.data, sampler, ..., checkpoint=run.checkpoint)
            return accuracy(model)

        search = Search(train, {"lr": {"low": 1e-4, "high": 1e-1}, "width": [64, 128]}, "manifests/demo", 6)
        summary = search.run()

    Every configuration is trained on a small share of a full run's examples, with a schedule of its own that
    ends there, the better ones on a larger share, and the best `finalists` in full. Learning rates mean those
    of a full run. A run on a share s gets the rate times s^−α, since short runs prefer larger ones
    (`tuning.horizon`), and a finalist the rate of its last run, carried to full length by the α that was
    fitted by then.

    Any number of processes may `run` the same search: they share its runs through the storage. A process
    that is killed loses the run at hand, which is begun anew, or continued where it has a checkpoint. The
    same call continues a search that was interrupted, and returns at once where all is done.

    Args:
        train: trains a `Run` and returns its score, such as the accuracy on held-out data. What it raises is
            recorded, and so is a score that is not finite; the search goes on.
        space: name -> range or choices; see `parse_space`.
        manifest: an opened one, or its path or URL; opened once a process.
        epochs: of a full run.
        configurations: how many are tried.
        scheme: ``rungs``, ``i-epoch``, ``full`` or (share, count) pairs; see `schemes.plan`.
        share: of the first rung, in examples of a full run; by default 1/60, and 1/30 for ``i-epoch``.
        finalists: configurations trained in full; by default 3, or all where there are fewer.
        seeds: runs of each finalist, whose mean counts. From 4 on, Wilcoxon's test stops a finalist early.
        sampler: ``tpe`` or ``random``.
        maximize: whether larger scores are better.
        learning_rate: names of the rates in the space; those called ``lr`` or ``learning_rate`` by default.
        correction: ``fit`` takes α from the search's own rungs, one for each value of a hyperparameter called
            ``optimizer``, beginning at .3 for those with adam in their name and else at .5; without one, for
            the optimizer of torch's that the first run was seen to step; a number is α; ``off`` is 0.
        curriculum: options of `Curriculum` for all runs, such as ``{"schedule": "fresh"}``.
        data: called once a process; what it returns is `run.data`.
        folder: of checkpoints and, unless `storage` is given, the database.
        storage: a path of sqlite, a URL, or Optuna's storage object.
        name: of the search in the storage.
        seed: of the hyperparameters' draws; runs have it, too, and further finalists' seeds follow it.
        progress: print a line a run on standard error.

    Raises:
        TrainerError: an option out of bounds; Optuna is not installed; a search of that name that is of
            other options.
    """

    def __init__(
        self,
        train: Callable[[Run], float],
        space: Mapping[str, Any],
        manifest: Manifest | str | os.PathLike[str],
        epochs: int,
        *,
        configurations: int = 27,
        scheme: str | Sequence[tuple[float, int]] = "rungs",
        share: float | None = None,
        finalists: int | None = None,
        seeds: int = 1,
        sampler: str = "tpe",
        maximize: bool = True,
        learning_rate: str | Sequence[str] | None = None,
        correction: str | float = "fit",
        curriculum: Mapping[str, Any] | None = None,
        data: Callable[[], Any] | None = None,
        folder: str | os.PathLike[str] = "tuning",
        storage: Any = None,
        name: str = "search",
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        if not callable(train):
            raise TrainerError(f"Search: train is a {type(train).__name__}; give a function of a Run")
        self._train, self.name, self._folder = train, name, os.fspath(folder)
        self._storage = studies.open_storage(storage, self._folder)
        self.space = parse_space(space)
        self.rates = learning_rates(self.space, learning_rate)
        self.epochs, self.seed = whole("Search", "epochs", epochs, 1), whole("Search", "seed", seed)
        configurations = whole("Search", "configurations", configurations, 1)
        if finalists is None or scheme == "full" or not isinstance(scheme, str):
            finalists = min(3, configurations)
        self.rungs = plan(scheme, configurations, finalists, share)
        self.seeds = whole("Search", "seeds", seeds, 1)
        self.sampler = one_of("Search", "sampler", sampler, studies.SAMPLERS)
        self.maximize = flag("Search", "maximize", maximize)
        self._correction = Correction(correction, self.rates, self.maximize)
        self._options = dict(curriculum or {})
        self._load = data
        self.manifest = manifest if isinstance(manifest, Manifest) else Manifest.open(os.fspath(manifest))
        self._say = (lambda line: print(line, file=sys.stderr, flush=True)) if progress else (lambda _: None)
        if reserved := {"fraction", "epochs", "seed", "manifest"} & set(self._options):
            raise TrainerError(
                f"Search: curriculum: {', '.join(sorted(reserved))} is set by the search itself"
            )
        # A share too small for the data is said before anything is trained.
        curricula = [
            Curriculum(self.manifest, rung.share, self.epochs, seed=self.seed, **self._options)
            for rung in self.rungs
        ]
        self._whole = curricula[-1]
        # A function is another object in every process, but draws the same.
        drawn = str(curricula[0].identity().get("drawn"))
        self._told = {
            name: drawn if callable(value) else repr(value) for name, value in sorted(self._options.items())
        }

    @functools.cached_property
    def data(self) -> Any:
        """What the option `data` returned: read at the first run, once a process."""
        return None if self._load is None else self._load()

    def run(self) -> Summary:
        """Train until every rung is done, with whoever else does, and return the summary.

        Raises:
            TrainerError: all configurations fail.
        """
        slots = [_slot(configuration) for configuration in range(self.rungs[0].count)]
        exponents: dict[str, Exponent] = {}
        results: list[Result] = []
        for place, rung in enumerate(self.rungs):
            study = self._study(place)
            if not place:
                studies.check_identity(study, self._identity())
                queue.forget_failures(study)
            objective = functools.partial(self._objective, place, rung)
            queue.work(study, slots, objective, studies.Claim(self._storage), self._say)
            if not place:
                self._recognise(study)
            results += queue.results(study, rung.share, slots)
            best = ranked(results, rung.share, self.maximize)
            exponents = self._correction.exponents(results)
            if place + 1 < len(self.rungs):
                after = self.rungs[place + 1]
                slots = [self._promoted(result, after, exponents) for result in best[: after.count]]
        full = sum(self._whole.count(epoch) for epoch in range(self.epochs))
        return summarise(self.rungs, results, exponents, self.maximize, self.seeds, full)

    def _study(self, place: int) -> optuna.Study:
        name = f"{self.name}/{place + 1} {self.rungs[place].name.replace('/', ' of ')}"
        enough = self.seeds if self.rungs[place].share == 1 else 1
        return studies.open_study(self._storage, name, self.maximize, self.sampler, self.seed, enough)

    def _objective(self, place: int, rung: Rung, trial: optuna.Trial) -> float:
        """Run one trial: one run, or of a finalist one for each seed."""
        attributes = trial.user_attrs
        drawn = {} if place else studies.suggested(trial, self.space)
        if (
            "params" in attributes
        ):  # carried, or of a run that was begun before: its checkpoint has their name
            params = json.loads(attributes["params"])
        else:
            self._recognise(trial.study)  # a first run's rate is by the prior of any optimizer
            params = self._correction.shortened(drawn, rung.share)
            trial.set_user_attr("params", json.dumps(params))
        count = self.seeds if rung.share == 1 else 1
        scores: list[float] = []
        examples = 0
        for offset in range(count):
            before = attributes.get("scores", {}).get(str(offset))
            run = self._run(params, attributes["configuration"], rung, self.seed + offset)
            examples += run.examples
            try:
                score = self._score(trial, run) if before is None else float(before)
            except queue.Failed:
                trial.set_user_attr("examples", examples)  # as if it had been whole: it may have been
                raise
            scores.append(score)
            trial.report(score, offset)
            if count > 1 and offset + 1 < count and trial.should_prune():
                break
        mean = sum(scores) / len(scores)
        trial.set_user_attr("result", {"score": mean, "seed_scores": scores, "examples": examples})
        self._say(f"{rung.name:>5}, configuration {run.configuration}: {mean:.4f} ({_shown(params)})")
        return mean

    def _recognise(self, study: optuna.Study) -> None:
        """Take note of the optimizer that the study's runs train with, if it is one."""
        marks = [trial.user_attrs for trial in study.get_trials(deepcopy=False)]
        seen = {attributes["optimizer"] for attributes in marks if "optimizer" in attributes}
        self._correction.recognised = seen.pop() if len(seen) == 1 else ""

    def _score(self, trial: optuna.Trial, run: Run) -> float:
        Path(run.checkpoint).parent.mkdir(parents=True, exist_ok=True)
        try:
            with stepping() as optimizers:
                found = plain_scalar(self._train(run))
            if optimizers:
                trial.set_user_attr("optimizer", optimizers[0])
        except Exception as error:
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:300]
            trial.set_user_attr("error", reason)
            self._say(f"configuration {run.configuration} at {run.share:.3g}: failed: {reason}")
            self._stop_if_all_fail(trial, error)
            raise queue.Failed(reason) from error
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise TrainerError(f"Search: train returned a {type(found).__name__}; expected a score, a number")
        if not math.isfinite(found):
            trial.set_user_attr("error", f"collapsed: the score is {found}")
            self._say(
                f"configuration {run.configuration} at {run.share:.3g}: collapsed: the score is {found}"
            )
            raise queue.Failed("collapsed")
        Path(run.checkpoint).unlink(missing_ok=True)
        return float(found)

    def _stop_if_all_fail(self, trial: optuna.Trial, error: Exception) -> None:
        trials = trial.study.get_trials(deepcopy=False)
        forgotten = trial.study.user_attrs.get(queue.FORGOTTEN, -1)
        failed = [each for each in trials if "error" in each.user_attrs and each.number > forgotten]
        scored = any("result" in each.user_attrs for each in trials)
        if not scored and len(failed) >= min(SUSPICIOUS, self.rungs[0].count):
            raise TrainerError(
                f"Search: the first {len(failed)} runs failed, the last with {type(error).__name__}: {error}"
            ) from error

    def _run(self, params: Mapping[str, Any], configuration: int, rung: Rung, seed: int) -> Run:
        # Named by what is trained as well: one that another search left in the folder has other rates in it.
        what = [self.manifest.fingerprint, self.epochs, rung.share, self._told, params]
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]
        file = f"{self.name}-{rung.name.replace('/', '-of-')}-{configuration}-{seed}-{digest}.pt"
        path = os.fspath(Path(self._folder) / file)
        return Run(
            params,
            configuration,
            rung.share,
            self.epochs,
            seed,
            self.manifest,
            self.data,
            path,
            self._options,
        )

    def _promoted(self, result: Result, rung: Rung, exponents: Mapping[str, Exponent]) -> dict[str, Any]:
        """Return the slot of a configuration in the next rung: its rates carried by the exponent."""
        params = self._correction.carried(result, rung.share, exponents)
        return {**_slot(result.configuration), "params": json.dumps(params)}

    def _identity(self) -> dict[str, Any]:
        """Return what makes two searches the same, in plain values."""
        from optuna.distributions import distribution_to_json

        return {
            "space": {name: json.loads(distribution_to_json(entry)) for name, entry in self.space.items()},
            "fingerprint": self.manifest.fingerprint,
            "epochs": self.epochs,
            "rungs": [[rung.share, rung.count] for rung in self.rungs],
            "seeds": self.seeds,
            "sampler": self.sampler,
            "maximize": self.maximize,
            "learning rates": list(self.rates),
            "correction": "fit" if self._correction.fixed is None else self._correction.fixed,
            "curriculum": self._told,
            "seed": self.seed,
        }


def _slot(configuration: int) -> dict[str, Any]:
    """Return what a trial of the configuration is marked with."""
    return {"slot": str(configuration), "configuration": configuration}


def _shown(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in params.items())
