"""What subsets within a limit are made of, and what greedy within a limit costs.

    python benchmarks/costs.py                   # seconds, one thread
    python benchmarks/costs.py --rows 5000 16000 # and greedy at these sizes: minutes

A tenth of the tokens of clustered rows; tokens are lognormal (σ = 1). One thread.
"""

import argparse

import milo_data
import numpy as np
from milo import FUNCTIONS, clustered, overlaps, seconds  # sets the number of threads

from syllabus.selectors import explore_within, maximize, maximize_within, random_value, random_value_within


def tokens_of(n: int) -> np.ndarray:
    return np.ceil(150 * np.random.default_rng(1).lognormal(0, 1, n))


def powers() -> None:
    """Print the table over `power`: 8 subsets of one class of 3,000 rows."""
    rows = clustered()[0]
    tokens = tokens_of(len(rows))
    limit = tokens.sum() / 10
    heads = f"{'gain':>6} {'rows':>5} {'mean cost':>9} {'Jaccard':>7} {'of as many':>10}"
    print(f"{'function':18} {'power':>5}  {heads}")
    for name, kind in FUNCTIONS.items():
        function = kind(rows)
        floor = random_value_within(function, tokens, limit, 20, seed=0)
        span = maximize_within(function, tokens, limit).objective - floor
        for power in (0, 0.1, 0.5, 1):
            found = explore_within(function, tokens, limit, 8, seed=0, power=power)
            members = np.zeros((len(found), len(rows)), np.bool_)
            for subset, selection in enumerate(found):
                members[subset, selection.indices] = True
            gain = (np.mean([selection.objective for selection in found]) - floor) / span
            cost = np.mean([tokens[selection.indices].mean() for selection in found]) / tokens.mean()
            # Among sets of as many rows, whatever these cost.
            count = len(found[0].indices)
            low, high = random_value(function, count, 20, seed=0), maximize(function, count).objective
            print(
                f"{name:18} {power:5}  {gain:6.3f} {members.sum(1).mean():5.0f} {cost:9.2f} "
                f"{overlaps(members).mean():7.2f} {(found[0].objective - low) / (high - low):10.2f}",
                flush=True,
            )


def greedy(n: int) -> None:
    """Print the time of greedy within a tenth of the tokens, and of greedy of as many rows."""
    rng = np.random.default_rng(2)
    centres = milo_data.unit(rng.standard_normal((50, 384)))
    noise = milo_data.unit(rng.standard_normal((n, 384)))
    for what, rows in (("clustered", centres[rng.integers(0, 50, n)] + 0.5 * noise), ("isotropic", noise)):
        tokens = tokens_of(n)
        for name, kind in FUNCTIONS.items():
            function = kind(milo_data.unit(rows))
            limit = tokens.sum() / 10
            count = len(maximize_within(function, tokens, limit).indices)
            within = seconds(lambda f=function, t=tokens, m=limit: maximize_within(f, t, m))
            plain = seconds(lambda f=function, k=count: maximize(f, k))
            print(
                f"n = {n:,} {what}, {name}, {count} rows: "
                f"{within:.3f} s, {within / plain:.2f}x the {plain:.3f} s of as many without costs",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[], metavar="N")
    options = parser.parse_args()
    powers()
    for n in options.rows:
        greedy(n)


if __name__ == "__main__":
    main()
