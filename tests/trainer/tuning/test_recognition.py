"""The optimizer that a run is seen to train with."""

from __future__ import annotations

import threading

import torch

from syllabus.trainer.tuning.recognition import stepping


def stepped(kind: type[torch.optim.Optimizer]) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    kind([weight], lr=0.1).step()


def test_the_first_that_steps_inside_and_in_this_thread_is_told():
    with stepping() as found:
        other = threading.Thread(target=stepped, args=(torch.optim.SGD,))  # of another search, say
        other.start()
        other.join()
        assert found == []
        with stepping() as inner:
            stepped(torch.optim.NAdam)
        stepped(torch.optim.SGD)
    stepped(torch.optim.RMSprop)
    assert (found, inner) == (["NAdam"], ["NAdam"])
