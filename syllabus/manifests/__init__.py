"""The manifest: what is studied, and in which order, as Parquet files and one JSON document.

The contract between the job that draws it up and everybody who trains from it; the specification is
``docs/manifest-format.md``. Imports numpy and pyarrow only.
"""

from syllabus.manifests.budgets import allocate, budget
from syllabus.manifests.errors import ManifestError
from syllabus.manifests.format import Fingerprint, json_schema, schema, sketches_table
from syllabus.manifests.reading.export import export
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.reading.sketches import read_sketches
from syllabus.manifests.storage import Store
from syllabus.manifests.validation.validate import Report, validate
from syllabus.manifests.writing.target import check_target
from syllabus.manifests.writing.writer import ManifestWriter, TableWriter

__all__ = [
    "Fingerprint",
    "Manifest",
    "ManifestError",
    "ManifestWriter",
    "Report",
    "Store",
    "TableWriter",
    "allocate",
    "budget",
    "check_target",
    "export",
    "json_schema",
    "read_sketches",
    "schema",
    "sketches_table",
    "validate",
]
