"""Searches over several processes: every run once, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
import toy_search
from toy_search import search

from syllabus.trainer.tuning import queue, studies

pytestmark = pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")


def start(folder, seconds):
    command = [sys.executable, toy_search.__file__, str(folder), str(seconds)]
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def begun(folder):
    file = Path(folder) / "begun.txt"
    return file.read_text().splitlines() if file.exists() else []


def test_two_processes_share_the_runs_and_agree(folder):
    workers = [start(folder, 0.05), start(folder, 0.05)]
    told = [worker.communicate(timeout=100)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert told[0] == told[1] != ""
    assert set(Counter(begun(folder)).values()) == {1}
    assert len(begun(folder)) == 12 + 4 + 1


def test_a_killed_process_loses_the_run_at_hand_only(folder, monkeypatch):
    worker = start(folder, 0.6)
    deadline = time.monotonic() + 60
    while len(begun(folder)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    lost = begun(folder)[-1]
    monkeypatch.setattr(studies, "GRACE", 1)
    monkeypatch.setattr(studies, "HEARTBEAT", 1)
    runs = []

    def train(run):
        runs.append(f"{run.share:.4f} {run.configuration}")
        return toy_search.score(run)

    options = {
        "scheme": "rungs",
        "share": 1 / 30,
        "configurations": 12,
        "finalists": 1,
        "storage": "database",
    }
    search(folder, train, **options).run()
    assert lost in runs
    assert Counter(begun(folder) + runs) == {**dict.fromkeys({*begun(folder), *runs}, 1), lost: 2}


def test_a_run_whose_process_dies_again_and_again_is_given_up(folder):
    space = toy_search.SPACE
    made = search(folder, space=space, configurations=3, finalists=1)
    study = made._study(0)
    for _ in range(queue.ATTEMPTS):
        study.enqueue_trial({}, user_attrs={"slot": "0", "configuration": 0})
        trial = study.ask()
        studies.suggested(trial, made.space)
        study.tell(trial, state=pytest.importorskip("optuna").trial.TrialState.FAIL)
    summary = made.run()
    assert [r.error for r in summary.results if r.error] == ["its process died 3 times"]
    assert "failed: 1 × its process died 3 times" in str(summary)
