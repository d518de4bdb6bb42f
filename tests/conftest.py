"""Fixtures that more than one test module uses."""

import multiprocessing
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# The modules that tests share: pytest's importlib mode leaves sys.path alone.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

import pytest
import torch
from engines import _flink_session, flink, flink_jar, prism
from object_store import _object_store_server, object_store

__all__ = ["_flink_session", "_object_store_server", "flink", "flink_jar", "object_store", "prism"]


@pytest.fixture(autouse=True, scope="session")
def _beam_looks_once() -> Iterator[None]:
    """Let Beam look at each kind of DoFn, and parse each view of options, once instead of hundreds of times.

    That is half of the time of a small job in this process.
    """
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.transforms import userstate
    except ModuleNotFoundError:  # a training machine
        yield
        return
    look, view = userstate.get_dofn_specs, PipelineOptions.view_as
    specs: dict[type, object] = {}
    views: dict[tuple[int, type], tuple[object, object]] = {}

    def looked_once(dofn: object) -> object:
        kind = type(dofn)
        if kind not in specs:
            specs[kind] = look(dofn)
        return specs[kind]

    def viewed_once(options: PipelineOptions, kind: type) -> object:
        key = (id(options), kind)
        if key not in views:
            views[key] = (options, view(options, kind))  # held, so that no other gets its number
        return views[key][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(userstate, "get_dofn_specs", looked_once)
        patch.setattr(PipelineOptions, "view_as", viewed_once)
        yield


GRACE = 5.0
"""Seconds that what a test started is waited for."""


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """Wait until all that a test started has ended.

    A worker of Beam whose pipeline failed waits for input for another second. Then it prints that its channel
    was closed: into the output of whichever test comes next.
    """
    before = {*threading.enumerate(), *multiprocessing.active_children()}
    yield
    until = time.monotonic() + GRACE
    while time.monotonic() < until and any(each not in before for each in at_work()):
        time.sleep(0.05)


def at_work() -> list[threading.Thread | multiprocessing.Process]:
    """Return the processes, and the threads that someone has to wait for or that work for Beam.

    Threads of Beam's pool stay for the next pipeline: those that have nothing to do are not at work.
    """
    threads = [
        each
        for each in threading.enumerate()
        if not each.daemon
        or (type(each).__module__.startswith("apache_beam") and getattr(each, "_work_item", None) is not None)
    ]
    # Daemons end with their owner: workers of a loader when its iterator is collected, whenever that is.
    return [*threads, *(child for child in multiprocessing.active_children() if not child.daemon)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module of encoder factories, under a name that no other test has imported."""
    # Only here: the pipeline is not there on a training machine, where the other tests run.
    from encoder_factories import FACTORIES, spec

    name = f"factories_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda factory, **other: spec(f"{name}:{factory}", "module", **other)
