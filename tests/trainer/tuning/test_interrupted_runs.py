"""A run that is begun again is the same run."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
import toy_search
from toy_search import memory, search

pytestmark = pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")


def test_a_run_that_was_interrupted_keeps_the_rate_and_checkpoint_that_it_was_begun_with(folder):
    asked = []

    def train(run):
        asked.append((run.configuration, run.share, run.params["lr"], run.checkpoint))
        if len(asked) == 1:
            raise KeyboardInterrupt
        weight = torch.nn.Parameter(torch.ones(1))
        weight.grad = torch.ones(1)
        torch.optim.AdamW([weight], lr=run.params["lr"]).step()
        return toy_search.score(run)

    space, storage = {"lr": [0.01], "width": [64]}, memory()
    options = {"space": space, "storage": storage, "configurations": 3, "scheme": [(1 / 10, 3), (1, 1)]}
    with pytest.raises(KeyboardInterrupt):
        search(folder, train, **options).run()
    search(folder, train, **options).run()  # others come first, in which AdamW is seen
    again = [each for each in asked[1:] if each[:2] == asked[0][:2]]
    assert again == asked[:1] != asked[1:2]
