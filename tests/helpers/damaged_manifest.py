"""Damage to a manifest for tests: some that leaves its digests right, so that only the content is wrong."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq

from syllabus.manifests import validate
from syllabus.manifests.format.document import DIGEST_KEY


def edit(root, change):
    """Change manifest.json as somebody might who knows how its digest is made."""
    document = json.loads((root / "manifest.json").read_text())
    change(document)
    blank = (
        json.dumps({**document, DIGEST_KEY: "0" * 64}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    )
    digest = hashlib.sha256(blank.encode()).hexdigest()
    (root / "manifest.json").write_text(blank.replace("0" * 64, digest, 1))
    assert json.loads((root / "manifest.json").read_text())[DIGEST_KEY] == digest


def rewrite(root, directory, change, path="part-00000.parquet"):
    """Replace a part by a whole file with other rows, listed in manifest.json with its size and digest."""
    file = root / directory / path
    rows = change(pq.read_table(file))
    pq.write_table(rows, file, compression="zstd")

    def listed(document):
        (entry,) = (entry for entry in document["files"] if entry["path"] == f"{directory}/{path}")
        entry["rows"], entry["bytes"] = rows.num_rows, file.stat().st_size
        entry["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()

    edit(root, listed)


def column(name, change):
    """A change of one column's values, given as a NumPy array or a list."""

    def apply(rows):
        place = rows.column_names.index(name)
        values = rows[name].to_numpy().copy() if rows[name].type != pa.string() else rows[name].to_pylist()
        changed = change(values)
        return rows.set_column(
            place, rows.schema.field(name), pa.array(changed, rows.schema.field(name).type)
        )

    return apply


def put(place, value):
    def change(values):
        values[place] = value(values) if callable(value) else value
        return values

    return change


def the_problem(root):
    report = validate(root)
    assert not report.ok
    assert len(report.problems) == 1, report.problems
    assert "\n" not in report.problems[0]
    return report.problems[0]


def swap(values):
    values[[3, 4]] = values[[4, 3]]
    return values
