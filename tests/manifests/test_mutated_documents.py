"""Documents with one value replaced and a right digest: refused in one line, or without harm."""

import copy
import hashlib
import json
from pathlib import Path

import pytest
from small_manifest import write_small_manifest

from syllabus.manifests import Manifest, ManifestError
from syllabus.manifests.format.document import DIGEST_KEY, checked

VALUES = (None, True, -1, 0, 1.0, 2.5, 10**12, 10**30, "x", "a\nb", [], [{}], {}, {"x": 1})


@pytest.fixture(scope="module", params=[False, True], ids=["examples", "weights"])
def manifest(request, tmp_path_factory):
    weights = range(1, 61) if request.param else None
    return write_small_manifest(tmp_path_factory.mktemp("m") / "m", neighbours=True, weights=weights)


def places(value, path=()):
    """Every place in a document; of an array the first."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value[:1]):
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def test_any_mutant_is_refused_in_one_line_or_opens(manifest):
    opened, lines, expected = 0, [], manifest.subset(0.1, 0).tolist()
    for path in places(manifest.description):
        if path[0] in ("format", "format_version", DIGEST_KEY):
            continue
        for value in VALUES:
            document = copy.deepcopy(manifest.description)
            holder = document
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
            blank = json.dumps({**document, DIGEST_KEY: "0" * 64})
            content = blank.replace("0" * 64, hashlib.sha256(blank.encode()).hexdigest(), 1).encode()
            (Path(manifest.location) / "manifest.json").write_bytes(content)
            try:
                mutant = Manifest(manifest.store, checked(content))
            except ManifestError as error:
                lines.append(str(error))
                continue
            # What is left is described by nobody else, and no reader computes with it.
            assert (mutant.n, mutant.total) == (manifest.n, manifest.total), (path, value)
            assert mutant.subset(0.1, 0).tolist() == expected
            assert "\n" not in repr(mutant)
            assert isinstance(mutant.budget_rule, str)
            opened += 1
    assert not [line for line in lines if "\n" in line]
    assert len(lines) > 5 * opened > 0
