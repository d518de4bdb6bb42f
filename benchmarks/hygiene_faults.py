"""Faults that `hygiene_defaults.py` plants in data sets: copies, wrong labels, classes of unlike sizes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hygiene_data import Data


def exact_copies(data: Data, rng: np.random.Generator, share: float = 0.3) -> Data:
    """Put copies of other rows, label and all, in the place of a share of the rows."""
    n = len(data.y)
    order = rng.permutation(n)
    gone, left = order[: round(share * n)], order[round(share * n) :]
    return taken(data, gone, rng.choice(left, len(gone)))


def near_copies(data: Data, rng: np.random.Generator) -> Data:
    """Put copies of a fiftieth of the rows, at cosines of .96 to 1, in the place of half of the rows."""
    n = len(data.y)
    order = rng.permutation(n)
    gone, few = order[: n // 2], order[n // 2 : n // 2 + n // 50]
    made = taken(data, gone, rng.choice(few, len(gone)))
    rows, noise = made.x[gone], rng.standard_normal((len(gone), data.x.shape[1]))
    noise -= rows * (np.einsum("ij,ij->i", noise, rows) / np.einsum("ij,ij->i", rows, rows))[:, None]
    noise *= np.linalg.norm(rows, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    # A tangent of .2 each from the original is a cosine of .98, of two copies .96.
    x = made.x.copy()
    x[gone] = rows + noise * rng.uniform(0, 0.2, (len(gone), 1))
    return replace(made, x=x.astype(np.float32))


def noisy(data: Data, rng: np.random.Generator) -> Data:
    """Draw a fifth of the labels anew, all classes alike."""
    y, n = data.y.copy(), len(data.y)
    wrong = rng.permutation(n)[: n // 5]
    y[wrong] = rng.integers(0, data.y.max() + 1, len(wrong))
    return replace(data, y=y)


def confused(data: Data, rng: np.random.Generator) -> Data:
    """Give a fifth of the rows the next class's label: noise that neighbours share."""
    y, n = data.y.copy(), len(data.y)
    wrong = rng.permutation(n)[: n // 5]
    y[wrong] = (y[wrong] + 1) % (data.y.max() + 1)
    return replace(data, y=y)


def unbalanced(data: Data, rng: np.random.Generator) -> Data:
    """Thin the classes, in training and test data alike, to sizes that fall from 1 to a fiftieth."""
    count = data.y.max() + 1
    rates = np.geomspace(1, 0.02, count)[rng.permutation(count)]
    train, test = (rng.random(len(y)) < rates[y] for y in (data.y, data.test_y))
    return Data(data.x[train], data.y[train], data.test_x[test], data.test_y[test])


def taken(data: Data, places: np.ndarray, rows: np.ndarray) -> Data:
    """Put `rows` at `places`."""
    x, y = data.x.copy(), data.y.copy()
    x[places], y[places] = data.x[rows], data.y[rows]
    return replace(data, x=x, y=y)


FAULTS: dict[str, Callable[[Data, np.random.Generator], Data]] = {
    "clean": lambda data, _: data,
    "exact copies": exact_copies,
    "near copies": near_copies,
    "noise": noisy,
    "confused": confused,
    "unbalanced": unbalanced,
    "unbalanced, noise": lambda data, rng: noisy(unbalanced(data, rng), rng),
    "near copies, noise": lambda data, rng: noisy(near_copies(data, rng), rng),
}
