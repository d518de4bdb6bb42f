"""The device and the threads of a worker."""

import sys
import threading

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from syllabus.pipeline.runtime import torch_setup
from syllabus.pipeline.runtime.torch_setup import limit_threads, pick_device


def in_a_thread(work) -> list:
    """What `work` gives in a thread where nothing was limited yet."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found


@pytest.fixture
def threads_restored():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_restored")
def test_torch_is_limited_also_if_it_is_loaded_after_the_first_time(monkeypatch):
    np.ones((2, 2)) @ np.ones((2, 2))
    torch.set_num_threads(3)

    def work():
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "torch")
            limit_threads(1)
        first = torch.get_num_threads()
        blas = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
        limit_threads(1)
        return first, blas, torch.get_num_threads()

    assert in_a_thread(work) == [(3, {1}, 1)]


def test_torch_is_asked_for_a_gpu_only_where_there_may_be_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch_setup, "_may_have_gpu", lambda: True)
    assert pick_device(None).startswith("cuda:")
    monkeypatch.setattr(torch_setup, "_may_have_gpu", lambda: False)
    assert pick_device(None) == "cpu"


@pytest.mark.gpu
def test_a_gpu_that_torch_finds_has_its_device_file():
    assert torch_setup._may_have_gpu()
