"""The problems of `batch_size.py` with exact losses: gradients with noise, several seeds at once.

Every problem gives, for (seeds, d) weights, the exact loss above its optimum, and the mean gradient of B
examples drawn with replacement; for large B the mean of their Gaussian noise is drawn at once, which is the
same in law.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DIMENSIONS = 50


@dataclass(frozen=True)
class Problem:
    """A loss above its optimum, its gradient, and the noise of one example's gradient.

    Attributes:
        loss: (seeds, d) weights -> (seeds,) losses above the optimum.
        gradient: (seeds, d) weights -> (seeds, d).
        noise: standard deviation of one example's gradient in each coordinate, at the optimum.
        growing: what its variance grows by, as a multiple of ‖w‖².
        start: (d,) first weights.
        smoothness: L; learning rates are given as shares of 1/L.
        targets: five losses over two decades.
    """

    name: str
    loss: Callable[[np.ndarray], np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]
    noise: float
    start: np.ndarray
    smoothness: float
    targets: np.ndarray
    growing: float = 0.0

    def deviation(self, w: np.ndarray) -> np.ndarray | float:
        """Return the standard deviation of one example's gradient in a coordinate, (…, 1) or one for all."""
        if not self.growing:
            return self.noise
        return np.sqrt(self.noise**2 + self.growing * (w**2).sum(-1, keepdims=True))


def strongly_convex() -> Problem:
    """A quadratic with eigenvalues from .1 to 1."""
    values = np.geomspace(0.1, 1.0, DIMENSIONS)
    start = np.full(DIMENSIONS, math.sqrt(2 / values.sum()))  # the loss is 1
    return Problem(
        "strongly convex",
        lambda w: 0.5 * (w**2 * values).sum(-1),
        lambda w: w * values,
        0.3,
        start,
        1.0,
        np.geomspace(1e-1, 1e-3, 5),
    )


def linear() -> Problem:
    """Least squares of noisy answers on Gaussian features, the synthetic data of the AdaDamp paper.

    An example's gradient is x(xᵀw − ε): its covariance is (‖w‖² + σ²)I, but for a part along w, 1/d of it.
    """
    return Problem(
        "linear",
        lambda w: 0.5 * (w**2).sum(-1),
        lambda w: w,
        0.3,
        np.full(DIMENSIONS, math.sqrt(2 / DIMENSIONS)),
        1.0,
        np.geomspace(1e-1, 1e-3, 5),
        growing=1.0,
    )


def convex() -> Problem:
    """A quadratic whose spectrum reaches down so far that gradient descent's loss falls as 1/updates.

    Eigenvalues are geometric from 1 to 1e-5 and every direction's share of ‖w − w*‖² is the same in λ, so
    that Σ λ exp(−2λk) goes as 1/k over the whole range of targets: the rate of the class, by no luck of the
    start.
    """
    values = np.geomspace(1e-5, 1.0, DIMENSIONS)
    start = np.full(DIMENSIONS, math.sqrt(2 / values.sum()))
    return Problem(
        "convex",
        lambda w: 0.5 * (w**2 * values).sum(-1),
        lambda w: w * values,
        0.1,
        start,
        1.0,
        np.geomspace(1e-1, 1e-3, 5),
    )


def non_convex() -> Problem:
    """Σ log(1 + λw²/2)/√d: smooth, with negative curvature far from the optimum; what falls is ‖∇F‖².

    As the paper's third class asks only for a small gradient, ‖∇F‖² stands in for the loss here.
    """
    values = np.geomspace(0.1, 1.0, DIMENSIONS)
    start = np.full(DIMENSIONS, 2.0) / np.sqrt(values)

    def gradient(w: np.ndarray) -> np.ndarray:
        return w * values / (1 + w**2 * values / 2) / math.sqrt(DIMENSIONS)

    return Problem(
        "non-convex",
        lambda w: (gradient(w) ** 2).sum(-1),
        gradient,
        0.3,
        start,
        1.0 / math.sqrt(DIMENSIONS),
        np.geomspace(1e-1, 1e-3, 5),
    )


PROBLEMS = (strongly_convex, linear, convex, non_convex)
