"""Orders: in which order an epoch's examples come."""

from syllabus.trainer.ordering.grab import GraB
from syllabus.trainer.ordering.named import ORDERS

__all__ = ["ORDERS", "GraB"]
