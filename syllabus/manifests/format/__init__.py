"""The format of a manifest: its tables, its document, its fingerprint, and what must hold between them."""

from syllabus.manifests.format import schema
from syllabus.manifests.format.consistency import LARGEST_TOTAL
from syllabus.manifests.format.fingerprint import Fingerprint
from syllabus.manifests.format.schema import SKETCH_LEVELS, sketches_table

__all__ = ["LARGEST_TOTAL", "SKETCH_LEVELS", "Fingerprint", "schema", "sketches_table"]
