"""Evidence of label noise and of copies, told from classes that overlap and from rows that lie close.

Where labels are wrong at random, many examples agree with none of their neighbours and few with just one.
Where classes overlap, agreement falls smoothly: about as many agree with one as with none. Copies leave a gap
below the threshold (`syllabus.selectors.neighbours.separation`); where rows lie close without being copies
there is none. `benchmarks/hygiene_defaults.py` has the measurements behind every number here.
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
        return (
            self.examples >= LEAST_EXAMPLES
            and self.zero > LEAST_SHARE
            and self.one <= LARGEST_RATIO * self.zero
            and self.median >= LEAST_MEDIAN
        )


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


def copies_may_leave(covered: np.ndarray, classes: np.ndarray, separates: bool, epoch: int) -> bool:
    """Return whether what a cover leaves out are copies, without which classes keep about their shares.

    Args:
      covered: (n,) bool, the examples that it leaves out.
      classes: (n,) whole numbers from 0 on.
      separates: whether the cover's threshold lies in a gap of the cosines.
      epoch: examples of an epoch; more than half of what is left would be seen too often.

    O(n).
    """
    if not separates or len(covered) < LEAST_EXAMPLES or covered.mean() <= LEAST_SHARE:
        return False
    if 2 * epoch > len(covered) - int(covered.sum()):
        return False
    sizes = np.bincount(classes)
    left = np.bincount(classes[~covered], minlength=len(sizes)) / np.maximum(sizes, 1)
    return bool(
        (left[sizes >= LEAST_CLASS] >= max(LEAST_LEFT, LEAST_SHARE_LEFT * (1 - covered.mean()))).all()
    )
