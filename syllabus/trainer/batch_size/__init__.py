"""Batch sizes that follow the loss, the gradient's noise or a plan."""

from syllabus.trainer.batch_size.accumulation import AdaptiveBatchSize
from syllabus.trainer.batch_size.controller import BatchSizeController
from syllabus.trainer.batch_size.critical import Branch, CriticalBatch, critical_batch
from syllabus.trainer.batch_size.damping import AdaDamp, AdaDampNN, RadaDamp, published
from syllabus.trainer.batch_size.drawing import draw
from syllabus.trainer.batch_size.microbatch import largest_microbatch
from syllabus.trainer.batch_size.noise import NoiseScale, NormTest
from syllabus.trainer.batch_size.planned import Constant, GeoDamp, PadaDamp
from syllabus.trainer.batch_size.probe import Probe, stratified
from syllabus.trainer.batch_size.rule import Rule
from syllabus.trainer.batch_size.schedules import Seesaw, Steps, cosine
from syllabus.trainer.batch_size.signals import Averages, Decision, Signals

__all__ = [
    "AdaDamp",
    "AdaDampNN",
    "AdaptiveBatchSize",
    "Averages",
    "BatchSizeController",
    "Branch",
    "Constant",
    "CriticalBatch",
    "Decision",
    "GeoDamp",
    "NoiseScale",
    "NormTest",
    "PadaDamp",
    "Probe",
    "RadaDamp",
    "Rule",
    "Seesaw",
    "Signals",
    "Steps",
    "cosine",
    "critical_batch",
    "draw",
    "largest_microbatch",
    "published",
    "stratified",
]
