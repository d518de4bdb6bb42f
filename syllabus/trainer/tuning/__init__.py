"""Hyperparameter search on one manifest: short runs first, the best in full, learning rates carried over.

Needs Optuna: pip install 'syllabus[tune]'. Importing it does not.
"""

from syllabus.trainer.tuning.drawing import draw
from syllabus.trainer.tuning.horizon import Exponent, Observation, fit_exponent
from syllabus.trainer.tuning.result import Result
from syllabus.trainer.tuning.run import Run
from syllabus.trainer.tuning.search import Search
from syllabus.trainer.tuning.summary import Summary

__all__ = ["Exponent", "Observation", "Result", "Run", "Search", "Summary", "draw", "fit_exponent"]
