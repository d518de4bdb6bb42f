"""Samplers and streams: an epoch's examples as a data loader takes them."""

from syllabus.trainer.data.sampler import ManifestSampler
from syllabus.trainer.data.stream import ManifestStream

__all__ = ["ManifestSampler", "ManifestStream"]
