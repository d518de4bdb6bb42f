"""The manifest: what is studied, and in which order, as Parquet files and one JSON document.

The contract between the job that draws it up and everybody who trains from it; the specification is
``docs/manifest-format.md``. Imports numpy and pyarrow only.
"""

from syllabus.manifests import schema
from syllabus.manifests.budgets import allocate, budget
from syllabus.manifests.clearing import check_target
from syllabus.manifests.document import json_schema
from syllabus.manifests.errors import ManifestError
from syllabus.manifests.export import export
from syllabus.manifests.fingerprint import Fingerprint
from syllabus.manifests.reader import Manifest
from syllabus.manifests.sketches import read_sketches, sketches_table
from syllabus.manifests.storage import Store
from syllabus.manifests.validation import Report, validate
from syllabus.manifests.writer import ManifestWriter, TableWriter

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
