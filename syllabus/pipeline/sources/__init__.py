"""Sources: the kinds of data sets, each a file that cuts its files into units and reads these."""

from syllabus.pipeline.sources.base import Source
from syllabus.pipeline.sources.opening import open_source
from syllabus.pipeline.sources.records import UNIT_ROWS, Columns, Kind, Records, Unit

__all__ = ["UNIT_ROWS", "Columns", "Kind", "Records", "Source", "Unit", "open_source"]
