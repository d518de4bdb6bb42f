"""Evidence of label noise and of copies, told from classes that overlap and from rows that lie close.

Where labels are wrong at random, many examples agree with none of their neighbours and few with just one.
Where classes overlap, agreement falls smoothly: about as many agree with one as with none. Whether copies lie
apart from what is only near, the manifest says. `benchmarks/hygiene_defaults.py` has the measurements behind
every number here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_EXAMPLES = 1000
"""In trusted classes; nothing was measured to gain below."""
LEAST_SHARE = 0.05
"""Of suspects or copies; below, nothing measured is gained by leaving them out."""
LARGEST_RATIO = 0.6
"""Examples that agree with one neighbour for each that agrees with none."""
LEAST_MEDIAN = 0.4
"""Agreement of most examples; below, labels and vectors do not belong together."""
LARGEST_CLASS_SHARE = 0.5
"""Of a class that may be suspect; above, its examples only lie among those of others."""
LEAST_CLASS = 20
"""Examples of a class whose shares are looked at."""
LEAST_LEFT, LEAST_SHARE_LEFT = 0.25, 0.5
"""Of a class when copies leave: of its examples, and of its share of all examples."""


@dataclass(frozen=True)
class Suspects:
    """What the neighbours say of the labels.

    Attributes:
      rows: (n,) bool, the examples that agree with no neighbour, in classes of which at most half do.
      examples: of these classes, whose agreement is known.
      zero: share of `rows` among them.
      one: share there that agree with one neighbour.
      median: of the agreements there.
    """

    rows: np.ndarray
    examples: int
    zero: float
    one: float
    median: float

    @property
    def noise(self) -> bool:
        """Whether they look like wrong labels."""
        return self.why_not is None

    @property
    def why_not(self) -> str | None:
        """Why they do not; None where they do."""
        if self.zero <= LEAST_SHARE:
            return f"not above {LEAST_SHARE:.0%}"
        if self.examples < LEAST_EXAMPLES:
            return f"{self.examples:,} examples in classes to be trusted are fewer than {LEAST_EXAMPLES:,}"
        if self.one > LARGEST_RATIO * self.zero:
            return f"as {self.one:.1%} agree with just one, classes overlap"
        if self.median < LEAST_MEDIAN:
            return f"a median agreement of {self.median:.2f} is below {LEAST_MEDIAN}"
        return None


def suspects(agreement: np.ndarray, classes: np.ndarray, k: int) -> Suspects:
    """Return the examples whose labels are suspect.

    Args:
      agreement: (n,) float, the share of an example's neighbours that have its label; NaN where unknown.
      classes: (n,) whole numbers from 0 on.
      k: neighbours that were looked for.

    O(n).
    """
    zero = agreement == 0
    sizes = np.bincount(classes)
    shares = np.bincount(classes[zero], minlength=len(sizes)) / np.maximum(sizes, 1)
    # A class of fewer examples than neighbours cannot agree with all of them.
    trusted = ((shares <= LARGEST_CLASS_SHARE) & (sizes > k))[classes]
    known = agreement[trusted & ~np.isnan(agreement)]
    if not len(known):
        return Suspects(np.zeros(len(zero), np.bool_), 0, 0.0, 0.0, 0.0)
    one = (known > 0) & (known <= 1.5 / k)
    return Suspects(
        zero & trusted, len(known), float((known == 0).mean()), float(one.mean()), float(np.median(known))
    )


def why_copies_stay(covered: np.ndarray, classes: np.ndarray, epoch: int) -> str | None:
    """Return why copies should not leave; None where classes keep about their shares without them.

    Args:
      covered: (n,) bool, the examples that a cover leaves out.
      classes: (n,) whole numbers from 0 on.
      epoch: examples of an epoch; more than half of what is left would be seen too often.

    O(n).
    """
    share, left = float(covered.mean()), len(covered) - int(covered.sum())
    if share <= LEAST_SHARE:
        return f"{share:.1%} are not above {LEAST_SHARE:.0%}"
    if len(covered) < LEAST_EXAMPLES:
        return f"{len(covered):,} examples are fewer than {LEAST_EXAMPLES:,}"
    if 2 * epoch > left:
        return f"an epoch of {epoch:,} is more than half of the {left:,} that would be left"
    sizes = np.bincount(classes)
    kept = np.bincount(classes[~covered], minlength=len(sizes)) / np.maximum(sizes, 1)
    least = max(LEAST_LEFT, LEAST_SHARE_LEFT * (1 - share))
    if (kept[sizes >= LEAST_CLASS] < least).any():
        return f"a class would keep fewer than {least:.0%} of its examples"
    return None
