"""Set functions, one a file: what makes a set good."""

from syllabus.selectors.functions.registry import FUNCTIONS

__all__ = ["FUNCTIONS"]
