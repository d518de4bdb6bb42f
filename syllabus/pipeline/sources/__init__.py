"""Sources: the kinds of data sets, each a file that cuts its files into chunks and reads these."""

from syllabus.pipeline.sources.base import Source
from syllabus.pipeline.sources.opening import open_source
from syllabus.pipeline.sources.records import CHUNK_ROWS, Chunk, Columns, Kind, Records

__all__ = ["CHUNK_ROWS", "Chunk", "Columns", "Kind", "Records", "Source", "open_source"]
