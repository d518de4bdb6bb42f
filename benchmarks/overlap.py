"""How much two epochs drawn by an importance share, and how much all of them show, against the draws' ESS.

    python benchmarks/overlap.py          half a minute

Scores are drawn from a normal or a gamma distribution and made probabilities of a given effective sample size
(ESS); epochs are drawn by them as the curriculum does. Where π is the probability of an example to be in a
draw of k of n, two epochs share Σπ² examples: of k, that is the fraction k/n over the ESS of π.
"""

from __future__ import annotations

import argparse

import numpy as np

from syllabus.selectors import importances, inclusion_probabilities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    n, epochs, rng = options.n, options.epochs, np.random.default_rng(0)
    print(
        "| scores | fraction | ESS | ESS of draws | an epoch's share in the next | fraction / ESS of draws "
        "| examples seen, as a share of redraw's |\n|---|---|---|---|---|---|---|"
    )
    for name, scores in (("normal", rng.normal(size=n)), ("gamma", rng.gamma(0.5, size=n))):
        for fraction in (0.01, 0.02, 0.1, 0.3):
            k = round(fraction * n)
            for ess in (0.75, 0.5, 0.25, 0.1, 0.02, 0.002):
                p = importances.tempered_probabilities(scores, ess)
                drawn = importances.effective_sample_size(inclusion_probabilities(p, k) / k)
                log_p = np.log(np.maximum(p, 1e-300))
                masks = np.zeros((epochs, n), np.bool_)
                for mask in masks:
                    mask[np.argpartition(-(log_p + rng.gumbel(size=n)), k)[:k]] = True
                again = (masks[1:] & masks[:-1]).sum() / (k * (epochs - 1))
                seen = masks.any(0).mean() / (1 - (1 - fraction) ** epochs)
                print(
                    f"| {name} | {fraction:g} | {ess:g} | {drawn:.3f} | {again:.3f} | {fraction / drawn:.3f} "
                    f"| {seen:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
