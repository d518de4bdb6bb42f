"""The epochs that `hygiene_defaults.py` trains on, and small networks trained on many of them at once."""

import numpy as np
import torch
from hygiene_data import Data
from torch.nn import functional

from syllabus.selectors import FacilityLocation, importances, maximize

HIDDEN, NARROW = 64, 100


def stream(y: np.ndarray, kept: np.ndarray, size: int, epochs: int, seed: int) -> np.ndarray:
    """Return the rows of epochs of `size` as `fresh` gives them: slices with all classes' shares."""
    length = size * epochs
    pool, made = np.flatnonzero(kept), []
    classes = y[pool]
    sizes = np.bincount(classes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for cycle in range(-(-length // len(pool))):
        keys, jitter = np.random.default_rng([seed, cycle]).random((2, len(y)))
        order = np.lexsort((keys[pool], classes))
        rank = np.arange(len(pool)) - starts[classes[order]]
        made.append(
            pool[order[np.argsort((rank + jitter[pool[order]]) / sizes[classes[order]], kind="stable")]]
        )
    # Shares hold for an epoch; within it rows are shuffled.
    rows = np.concatenate(made)[:length].reshape(epochs, size)
    return np.random.default_rng([seed, 3 * 10**6]).permuted(rows, axis=1).ravel()


def shuffled(n: int, length: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 10**6])
    return np.concatenate([rng.permutation(n) for _ in range(-(-length // n))])[:length]


def coverage(y: np.ndarray, size: int, epochs: int, seed: int, score: np.ndarray) -> np.ndarray:
    """Return half of the epochs drawn by importance within each class, and half of them fresh."""
    rng, parts = np.random.default_rng([seed, 2 * 10**6]), []
    # Seats of each class by the largest remainder, as `proportional` budgets have them.
    quota = size * np.bincount(y) / len(y)
    share = quota.astype(int)
    share[np.argsort(share - quota, kind="stable")[: size - share.sum()]] += 1
    for _ in range(epochs // 2):
        noisy, drawn = np.log(score) + rng.gumbel(size=len(y)), []
        for label, count in enumerate(share):
            members = np.flatnonzero(y == label)
            drawn.append(members[np.argsort(-noisy[members])[:count]])
        parts.append(rng.permutation(np.concatenate(drawn)))
    return np.concatenate([*parts, stream(y, np.ones(len(y), bool), size, epochs - epochs // 2, seed)])


def importance(y: np.ndarray, rows: np.ndarray, ess: float | None) -> np.ndarray:
    """Return (n,) probabilities by what each row adds to facility location in its class."""
    score = np.zeros(len(y))
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        function = FacilityLocation(rows[members], memory_budget=8 * len(members) ** 2 + 2**21)
        selection = maximize(function, len(members), optimizer="lazy")
        gains = np.zeros(len(members))
        gains[selection.indices] = selection.gains
        if ess is None or len(members) < 10:
            score[members] = importances.published_probabilities(gains)
        else:
            score[members] = importances.tempered_probabilities(gains, max(ess, 2 / len(members)))
    return score


def trained(data: Data, streams: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Train a network on each of (R, L) streams at once; return (R,) test accuracies and mean recalls."""
    mean, scale = data.x.mean(0), np.maximum(data.x.std(0), 1e-3 * np.abs(data.x).max() + 1e-9)
    x, test = (torch.from_numpy(np.clip((rows - mean) / scale, -10, 10)) for rows in (data.x, data.test_x))
    y, classes = torch.from_numpy(data.y), int(max(data.y.max(), data.test_y.max())) + 1
    runs, length = streams.shape
    batch = int(np.clip(length // 64, 8, 64))
    steps = max(1, length // batch)
    wide = x.shape[1] > NARROW
    shapes = [(x.shape[1], classes)] if wide else [(x.shape[1], HIDDEN), (HIDDEN, classes)]
    params = []
    for height, width in shapes:
        first = [np.random.default_rng([seed, height]).normal(size=(height, width)) for seed in seeds]
        start = np.stack(first) * (0 if width == classes else np.sqrt(2 / height))
        params += [torch.tensor(start, dtype=torch.float32), torch.zeros(runs, 1, width)]
    for each in params:
        each.requires_grad_()
    peak = 0.003 if wide else 0.01
    optimizer = torch.optim.Adam(params, peak, foreach=True)

    def outputs(rows: torch.Tensor) -> torch.Tensor:
        for number in range(0, len(params), 2):
            rows = torch.baddbmm(params[number + 1], rows, params[number])
            rows = rows if number == len(params) - 2 else rows.relu()
        return rows

    indices = torch.from_numpy(streams[:, : steps * batch].reshape(runs, steps, batch))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = peak * 0.5 * (1 + np.cos(np.pi * step / steps))
        rows = indices[:, step]
        loss = (
            functional.cross_entropy(outputs(x[rows]).flatten(0, 1), y[rows].flatten(), reduction="sum")
            / batch
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    truth = torch.from_numpy(data.test_y)
    with torch.no_grad():
        guesses = [outputs(part.expand(runs, -1, -1)).argmax(2) for part in test.split(200)]
        hits = (torch.cat(guesses, 1) == truth).numpy()
    present = np.unique(data.test_y)
    recall = np.mean([hits[:, data.test_y == label].mean(axis=1) for label in present], axis=0)
    return hits.mean(axis=1), recall
