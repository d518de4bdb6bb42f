"""Brute force for the selectors' tests: definitions in float64, written out; shares no code with the product.

Also the data on which ties and near-ties are planted, since that is where selectors go wrong.
"""

import itertools

import numpy as np

KINDS = ("normal", "duplicates", "near_ties", "lattice", "clusters", "opposite")


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def planted(kind, n, d, seed):
    """Return (n, d) float32 unit rows of one of `KINDS`."""
    rng = np.random.default_rng([seed, n, d, KINDS.index(kind)])
    normal = rng.standard_normal((n, d)) + 1e-3
    if kind == "normal":
        return unit(normal)
    if kind == "duplicates":  # every row about three times, far apart in the order
        return unit(normal)[rng.integers(0, max(1, n // 3), n)]
    if kind == "near_ties":  # copies that differ in the last bits of float32
        rows = unit(normal)[rng.integers(0, max(1, n // 3), n)]
        steps = rng.integers(-2, 3, rows.shape)
        return (rows.view(np.int32) + steps.astype(np.int32)).view(np.float32)
    if kind == "lattice":  # few directions with small whole numbers: equal products between unequal rows
        return unit(rng.integers(-1, 2, (n, d)) + np.eye(d)[rng.integers(0, d, n)] * 2)
    if kind == "clusters":
        centres = unit(rng.standard_normal((4, d)))
        return unit(centres[rng.integers(0, 4, n)] + 0.05 * normal)
    rows = unit(normal)
    half = n // 2
    rows[half : 2 * half] = -rows[:half]
    return rows


def similarities(rows):
    rows = rows.astype(np.float64)
    return (1 + rows @ rows.T) / 2


def distances(rows):
    rows = rows.astype(np.float64)
    return np.array([((rows - row) ** 2).sum(axis=1) / 4 for row in rows])


def graph_cut(rows, trade_off=0.4):
    s = similarities(rows)
    return lambda chosen: s[:, chosen].sum() - trade_off * s[np.ix_(chosen, chosen)].sum() if chosen else 0.0


def facility_location(rows):
    s = np.maximum(similarities(rows), 0)
    return lambda chosen: s[:, chosen].max(axis=1).sum() if chosen else 0.0


def facility_location_conditional_gain(rows, private, hardness=1.0):
    s = similarities(rows)
    other = (1 + rows.astype(np.float64) @ private.astype(np.float64).T) / 2
    served = hardness * np.maximum(other.max(axis=1), 0)
    return lambda chosen: np.maximum(s[:, chosen].max(axis=1) - served, 0).sum() if chosen else 0.0


def facility_location_mutual_information(rows, query, relevance=1.0):
    s = np.maximum((1 + rows.astype(np.float64) @ query.astype(np.float64).T) / 2, 0)
    return lambda chosen: (
        s[chosen].max(axis=0).sum() + relevance * s[chosen].max(axis=1).sum() if chosen else 0.0
    )


def sparse_facility_location(rows, neighbours=64):
    s = np.maximum(similarities(rows), 0)
    near = np.argsort(-s, axis=1, kind="stable")[:, :neighbours]
    kept = np.zeros_like(s)
    np.put_along_axis(kept, near, np.take_along_axis(s, near, axis=1), axis=1)
    return lambda chosen: kept[:, chosen].max(axis=1).sum() if chosen else 0.0


def sparse_graph_cut(rows, neighbours=64, trade_off=0.4):
    s = np.maximum(similarities(rows), 0)
    np.fill_diagonal(s, np.inf)
    near = np.argsort(-s, axis=1, kind="stable")[:, : neighbours + 1]
    edges = np.zeros(s.shape, bool)
    np.put_along_axis(edges, near, True, axis=1)
    w = np.where(edges | edges.T, np.maximum(similarities(rows), 0), 0)
    return lambda chosen: w[:, chosen].sum() - trade_off * w[np.ix_(chosen, chosen)].sum() if chosen else 0.0


def disparity_min(rows):
    dist = distances(rows)
    return lambda chosen: min((dist[a, b] for a, b in itertools.combinations(chosen, 2)), default=0.0)


def disparity_sum(rows):
    s = similarities(rows)
    return lambda chosen: sum(1 - s[a, b] for a, b in itertools.combinations(chosen, 2))


def feature_based(features, curve=np.sqrt):
    features = features.astype(np.float64)
    return lambda chosen: curve(features[chosen].sum(axis=0)).sum() if chosen else 0.0


def probabilistic_set_cover(degrees, weights):
    missing = 1 - degrees.astype(np.float64)
    return lambda chosen: ((1 - missing[chosen].prod(axis=0)) * weights).sum() if chosen else 0.0


def saturated_coverage(rows, share=0.1):
    caps = share * similarities(rows).sum(axis=1)
    s = np.maximum(similarities(rows), 0)
    return lambda chosen: np.minimum(s[:, chosen].sum(axis=1), caps).sum() if chosen else 0.0


def log_determinant(rows, regularisation=1.0):
    matrix = similarities(rows) + regularisation * np.eye(len(rows))
    return lambda chosen: np.linalg.slogdet(matrix[np.ix_(chosen, chosen)])[1] if chosen else 0.0


def mixture(parts, weights):
    return lambda chosen: sum(weight * part(chosen) for weight, part in zip(weights, parts, strict=True))


def best_value(f, n, k):
    """Return the largest f over all sets of k of n."""
    return max(f(list(chosen)) for chosen in itertools.combinations(range(n), k))


def check_greedy(f, n, indices, gains):
    """Every pick is a best one and every gain is f(S + e) - f(S), up to 1e-9 max(1, |f|)."""
    chosen: list[int] = []
    value = f(chosen)
    for step, (index, gain) in enumerate(zip(indices.tolist(), gains.tolist(), strict=True)):
        outside = [e for e in range(n) if e not in chosen]
        brute = {e: f([*chosen, e]) - value for e in outside}
        tolerance = 1e-9 * max(1.0, abs(value) + abs(brute[index]))
        assert abs(gain - brute[index]) <= tolerance, (step, index, gain, brute[index])
        best = max(brute.values())
        assert brute[index] >= best - tolerance, (step, index, brute[index], best)
        chosen.append(index)
        value = f(chosen)


def check_equal_rows(rows, indices):
    """Of equal rows the one with the smaller index is picked, and picked first."""
    place = {int(index): position for position, index in enumerate(indices)}
    groups: dict[bytes, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.tobytes(), []).append(index)
    for members in groups.values():
        for earlier, later in itertools.pairwise(members):
            if later in place:
                assert earlier in place, (earlier, later)
                assert place[earlier] < place[later], (earlier, later)


def signed_walk(rows, order, mean):
    """The walk of balancing in plain float64 numpy."""
    position = np.zeros(rows.shape[1])
    signs = []
    for index in order:
        z = rows[index].astype(np.float64) - mean
        sign = 1 if position @ z <= 0 else -1
        position += sign * z
        signs.append(sign)
    return signs, position


def balance(rows, passes):
    mean = rows.astype(np.float64).mean(axis=0)
    order = list(range(len(rows)))
    for _ in range(passes):
        signs, _ = signed_walk(rows, order, mean)
        front = [index for index, sign in zip(order, signs, strict=True) if sign > 0]
        back = [index for index, sign in zip(order, signs, strict=True) if sign < 0]
        order = front + back[::-1]
    return order


def pair_balance(rows, passes):
    order = list(range(len(rows)))
    for _ in range(passes):
        front, back = [], []
        position = np.zeros(rows.shape[1])
        for a, b in zip(order[::2], order[1::2], strict=False):
            z = rows[a].astype(np.float64) - rows[b]
            sign = 1 if position @ z <= 0 else -1
            position += sign * z
            front.append(a if sign > 0 else b)
            back.append(b if sign > 0 else a)
        order = front + order[len(order) // 2 * 2 :] + back[::-1]
    return order


def prefix_norms(rows, order):
    centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    sums = np.cumsum(centred[np.asarray(order)], axis=0)
    return np.linalg.norm(sums, axis=1), np.abs(sums).max(axis=1)


def tokens(n, seed):
    """Return (n,) costs like the lengths of texts."""
    return np.ceil(20 * np.random.default_rng(seed).lognormal(0, 1, n))
