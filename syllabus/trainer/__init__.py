"""Training from a manifest: which examples an epoch has, in which order, and one flat loop.

This room needs torch, numpy and rich, and of the others only manifests and selectors.
"""

from syllabus.trainer.curriculum import Curriculum
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.features import CountSketch, FullGradients, LastLayer, MeanGradient
from syllabus.trainer.grab import GraB
from syllabus.trainer.loop import EpochRecord, fit
from syllabus.trainer.orders import ORDERS
from syllabus.trainer.sampler import ManifestSampler
from syllabus.trainer.schedules import SCHEDULES
from syllabus.trainer.stream import ManifestStream

__all__ = [
    "ORDERS",
    "SCHEDULES",
    "CountSketch",
    "Curriculum",
    "EpochRecord",
    "FullGradients",
    "GraB",
    "LastLayer",
    "ManifestSampler",
    "ManifestStream",
    "MeanGradient",
    "TrainerError",
    "fit",
]
