"""Fixtures that more than one test module uses."""

import sys
from pathlib import Path

# The modules that tests share: pytest's importlib mode leaves sys.path alone.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

import pytest
import torch
from engines import _flink_session, flink, flink_jar, prism

__all__ = ["_flink_session", "flink", "flink_jar", "prism"]


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
