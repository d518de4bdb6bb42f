"""The manifest, the contract between the job that draws it up and everybody who trains from it.

Parquet files and one JSON document say what is studied, and in which order; ``docs/manifest-format.md`` is
the specification. `format` has the tables and the document, `writing`, `reading` and `validation` what is
done with them, beside `budgets`, `ids` and `storage`. Imports numpy and pyarrow only; the checker of JSON
Schemas when a document is read.
"""

from syllabus.manifests.budgets import allocate, budget
from syllabus.manifests.errors import ManifestError, NoManifestError
from syllabus.manifests.format import Fingerprint, schema, sketches_table
from syllabus.manifests.format.json_schema import json_schema
from syllabus.manifests.reading.export import export
from syllabus.manifests.reading.hygiene_lists import (
    list_duplicates,
    list_holdout,
    list_suspects,
    neighbours_label,
    surest,
)
from syllabus.manifests.reading.manifest import Manifest
from syllabus.manifests.reading.plain_files import PlainFile
from syllabus.manifests.reading.sketches import read_sketches
from syllabus.manifests.storage import Store
from syllabus.manifests.validation.validate import Report, validate
from syllabus.manifests.writing.tables import TableWriter
from syllabus.manifests.writing.target import check_target, repair_target
from syllabus.manifests.writing.writable import check_writable
from syllabus.manifests.writing.writer import ManifestWriter

__all__ = [
    "Fingerprint",
    "Manifest",
    "ManifestError",
    "ManifestWriter",
    "NoManifestError",
    "PlainFile",
    "Report",
    "Store",
    "TableWriter",
    "allocate",
    "budget",
    "check_target",
    "check_writable",
    "export",
    "json_schema",
    "list_duplicates",
    "list_holdout",
    "list_suspects",
    "neighbours_label",
    "read_sketches",
    "repair_target",
    "schema",
    "sketches_table",
    "surest",
    "validate",
]
