"""A torch module that takes its time, for tests that kill a job in the middle."""

import os
import time

import torch


class Slow(torch.nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(16, 24)
        self.seconds = seconds

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return torch.tanh(self.linear(batch))


def letters(text: str) -> torch.Tensor:
    """Counts of 16 letters."""
    return torch.tensor([float(text.count(letter)) for letter in "etaoinshrdlucmfw"])


def factory():
    return Slow(float(os.environ.get("SLOW_SECONDS", "0"))), letters
