"""Curricula: which examples an epoch has."""

from syllabus.trainer.curriculum.curriculum import Curriculum
from syllabus.trainer.curriculum.schedules import SCHEDULES

__all__ = ["SCHEDULES", "Curriculum"]
