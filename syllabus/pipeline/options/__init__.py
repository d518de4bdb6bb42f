"""All options of the job, under one name in TOML, flags and Python.

Each field's description is the help text of its flag. A group of options is a file: where things are
(`locations`), what an example is (`data`) and at most (`bounds`), what is chosen and what is looked for among
near neighbours (`selection`), how the job runs, and all of them in one object (`options`).
"""

from syllabus.pipeline.options.bounds import Bounds
from syllabus.pipeline.options.locations import LOCATIONS
from syllabus.pipeline.options.options import Options
from syllabus.pipeline.options.parsing import choices, make_options
from syllabus.pipeline.options.selection import RANKED_BY, Importance, easy_epochs

__all__ = [
    "LOCATIONS",
    "RANKED_BY",
    "Bounds",
    "Importance",
    "Options",
    "choices",
    "easy_epochs",
    "make_options",
]
