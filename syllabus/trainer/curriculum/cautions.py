"""What the measurements call harmful, said once when a curriculum asks for it. `docs/curriculum.md` has them.

The figures are points of test accuracy against a random subset drawn anew in each epoch, on Fashion-MNIST and
WordNet glosses at 1 and 10 percent.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from syllabus.manifests import budget
from syllabus.trainer.curriculum.advice import hygiene_of

if TYPE_CHECKING:
    from syllabus.trainer.curriculum.curriculum import Curriculum

ALIKE = 0.5  # Jaccard index of two subsets
HARD = 0.75  # effective sample size, as a share
CORE = 0.25  # that of draws; below, a quarter of the examples that redraw shows are not seen
FIXED = "a fixed subset costs 4.6 to 17.6 points"


def warn(curriculum: Curriculum) -> None:
    """Warn of each option that is measured to cost accuracy; one line each, from the curriculum's caller."""
    for caution in _cautions(curriculum):
        warnings.warn(caution, stacklevel=3)


def warn_fixed(schedule: str, epochs: tuple[int, int]) -> None:
    """Warn that a user's schedule gave one set twice."""
    first, second = sorted(epochs)
    warnings.warn(f"schedule {schedule!r}: epochs {first} and {second} have one set: {FIXED}", stacklevel=4)


def _cautions(curriculum: Curriculum) -> list[str]:
    found, every = [], curriculum.refresh_every
    if curriculum.full:
        return found  # the full data are not drawn
    if min(every, curriculum.epochs) > 1:
        found.append(
            f"refresh_every={every}: a draw kept for 5 epochs costs 1.9 to 5.1 points, for 10 3.0 to 9.1"
        )
    found += _of_weights(curriculum)
    if curriculum.subset_of(0) is not None:
        found += _of_subsets(curriculum)
    if curriculum.importance:
        found += _of_draws(curriculum) + _of_importance(curriculum)
    return found


def _of_weights(curriculum: Curriculum) -> list[str]:
    units = curriculum.units
    heaviest = 0 if units.weights is None else int(units.weights.max()) * units.scale
    stored = curriculum.easy_epochs == curriculum.epochs and curriculum.subset_of(0) is not None
    if heaviest <= units.budget or stored:
        return []
    return [
        f"the heaviest example has {heaviest} {units.name}, more than the {units.budget} of an epoch: epochs"
        " are far from their budget; cut such rows, or leave them out of the manifest"
    ]


def _of_subsets(curriculum: Curriculum) -> list[str]:
    found, easy, fraction = [], curriculum.easy_epochs, f"fraction {curriculum.fraction:g}"
    subsets = curriculum.manifest.subsets_of(curriculum.fraction)
    count, needed = len(subsets.sizes), -(-easy // curriculum.refresh_every)
    if count < needed:
        found.append(
            f"milo: {easy} easy epochs of {fraction} need {needed} subsets and the manifest holds {count}: "
            + (f"it is the same in all of them, and {FIXED}" if count == 1 else "they will come again")
        )
    jaccard = subsets.jaccard
    if min(needed, count) > 1 and jaccard is not None and jaccard > ALIKE:
        found.append(
            f"milo: the subsets of {fraction} have a mean Jaccard index of {jaccard:.2f}, above {ALIKE}:"
            " almost fixed; prepare them with a larger epsilon"
        )
    if easy == curriculum.epochs > 1:
        found.append(
            f"milo: all {easy} epochs are easy: near-optimal subsets alone cost 1.7 (facility location) to 19"
            " (graph cut) points"
        )
    return found


def _of_draws(curriculum: Curriculum) -> list[str]:
    first, epochs, name = curriculum.easy_epochs, curriculum.epochs, curriculum.importance
    weighted = {"coverage": first, "milo": epochs - first}.get(curriculum.schedule, epochs)
    stored = curriculum.manifest.importance_entry(name).inclusion_ess
    # The larger a draw, the more even: that of the next larger fraction is at least this one's.
    known = [each for each in stored if each[0] >= curriculum.fraction - 1e-9]
    if weighted <= curriculum.refresh_every or not known:
        return []
    fraction, ess = min(known, key=lambda each: each[0])
    if ess >= CORE:
        return []
    # Two draws share the sum of squares of the probabilities to be in one: the fraction over its ESS.
    return [
        f"importance {name!r}: draws of {fraction:g} have an effective sample size of {ess:.3g}, below"
        f" {CORE}: {min(fraction / ess, 1):.0%} of an epoch is in any other too ({fraction:.0%} of a random"
        " one), a core of examples again and again; prepare the importance with a larger ess"
    ]


def _of_importance(curriculum: Curriculum) -> list[str]:
    examples = min(budget(curriculum.fraction, curriculum.manifest.n), curriculum.n)
    name, chosen = curriculum.importance, hygiene_of(curriculum.manifest, examples)[0]
    ess = curriculum.manifest.importance_entry(name).ess
    hard = name == "radius" if ess is None else ess <= HARD
    if not hard or "drop_suspects" not in chosen or "drop_suspects" in curriculum.filters:
        return []
    zero = curriculum.manifest.neighbours.agreement.zero_share
    size = "" if ess is None else f" (effective sample size {ess:.2f})"
    return [
        f"importance {name!r}{size} draws what is unlike the rest, and {zero:.1%} of the labels are suspect:"
        " under label noise radius costs 0.6 to 6.6 points; filters=('drop_suspects',) gains 0.8 to 4.1"
    ]
