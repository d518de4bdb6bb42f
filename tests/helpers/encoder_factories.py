"""Encoders that tests build: a module of factories, and what asks for them."""

from syllabus.pipeline.encoders import EncoderSpec

TEXTS = [
    f"a sentence about {word} " * (1 + i % 7) for i, word in enumerate("cats dogs rain snow tea".split() * 20)
]


FACTORIES = """
import torch

MADE = []

class Mean(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(3, 2) + weight)
    def forward(self, batch):
        return batch.flatten(2).mean(2) @ self.weight

def pixels(image):
    return torch.tensor(list(image.resize((4, 4)).tobytes())).reshape(16, 3).T.reshape(3, 4, 4).float()

def letters(text):
    return torch.tensor([[len(text)], [text.count("a")], [1]]).float()

def image():
    return Mean(1.0), pixels

def text():
    return Mean(1.0), letters

def random():
    MADE.append(1)
    return Mean(float(len(MADE))), letters

def other():
    return Mean(2.0), letters

def ragged():
    return Mean(1.0), lambda text: torch.zeros(3, len(text))

def flat():
    return torch.nn.Flatten(0), letters

def tuple_out():
    class Two(torch.nn.Module):
        def forward(self, batch):
            return batch, batch
    return Two(), letters

def no_tensor():
    return Mean(1.0), len

def alone():
    return Mean(1.0)

def no_module():
    return len, letters

def failing():
    raise KeyError("no weights here")

def imaginary():
    class Complex(torch.nn.Module):
        def forward(self, batch):
            return torch.view_as_complex(batch.flatten(1)[:, :2].reshape(-1, 1, 2))
    return Complex(), letters

def widening():
    class Widening(torch.nn.Module):
        def forward(self, batch):
            return batch.flatten(1)[:, : 3 if batch[0, 1] else 1]
    return Widening(), letters

def powers():
    class Powers(torch.nn.Module):
        def forward(self, batch):
            length = batch.flatten(1)[:, :1]
            return torch.cat([length * length, torch.where(length > 60000, torch.nan, length)], 1)
    return Powers(), letters

def narrow():
    return Mean(1.0), lambda text: torch.zeros(7, 2)
"""


def spec(name, kind="sentence-transformers", content="text", **other):
    values = {"dtype": "float32", "device": "cpu", "batch_size": 8, "threads": 1, **other}
    return EncoderSpec(kind, name, content, **values)


def never(*reject):
    raise AssertionError(f"rejected: {reject}")
