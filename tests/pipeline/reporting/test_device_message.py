"""What a job says of the device before it starts."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from syllabus.pipeline import Options
from syllabus.pipeline.reporting.job_messages import announce_device


@pytest.mark.parametrize(
    ("device", "has_gpu", "said"),
    [("cuda", False, True), ("cuda:1", False, True), ("cuda", True, False), ("cpu", False, False)],
)
def test_a_faiss_without_a_gpu_is_one_line(device, has_gpu, said, monkeypatch) -> None:
    monkeypatch.setattr("syllabus.selectors.neighbours.faiss_has_gpu", lambda: has_gpu)
    text = io.StringIO()
    options = Options(source="s", output="m", text="text", encoder="hashing", device=device)
    announce_device(options, Console(file=text, width=1000))
    lines = text.getvalue().splitlines()
    assert len(lines) == said
    assert all("syllabus[gpu]" in line and device in line for line in lines)
