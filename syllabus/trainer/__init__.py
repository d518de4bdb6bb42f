"""Training from a manifest: which examples an epoch has, in which order, and one flat loop.

This room needs torch, numpy and rich, and of the others only manifests and selectors. Rules of batch sizes:
`syllabus.trainer.batch_size`.
"""

from syllabus.trainer.batch_size import AdaptiveBatchSize, BatchSizeController
from syllabus.trainer.curriculum import SCHEDULES, Curriculum
from syllabus.trainer.data import ManifestSampler, ManifestStream
from syllabus.trainer.errors import TrainerError
from syllabus.trainer.gradients import CountSketch, FullGradients, LastLayer, MeanGradient
from syllabus.trainer.loop.fit import fit
from syllabus.trainer.loop.resuming import EpochRecord
from syllabus.trainer.ordering import ORDERS, GraB

__all__ = [
    "ORDERS",
    "SCHEDULES",
    "AdaptiveBatchSize",
    "BatchSizeController",
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
