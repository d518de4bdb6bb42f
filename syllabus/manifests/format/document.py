"""The document manifest.json: encoding with its digest, decoding with the check of it."""

import hashlib
import json
import math
from typing import Any

import numpy as np

from syllabus.manifests.errors import ManifestError, NoManifestError, first_line
from syllabus.manifests.format.consistency import contradictions
from syllabus.manifests.format.json_schema import violations
from syllabus.manifests.format.schema import DOCUMENT, FORMAT, FORMAT_VERSION

DIGEST_KEY = "document_sha256"
DEPTH = 32


def encode(description: dict[str, Any]) -> bytes:
    """Return the bytes of manifest.json; `description` has all its keys but the format's and the digest.

    Raises:
      ManifestError: if a key is missing, of the wrong type, or contradicts another.
    """
    document = {**description, "format": FORMAT, "format_version": FORMAT_VERSION}
    blank = _bytes({**document, DIGEST_KEY: "0" * 64})
    _raise_first(blank, json.loads(blank))
    return _bytes({**document, DIGEST_KEY: hashlib.sha256(blank).hexdigest()})


def decode(content: bytes) -> dict[str, Any]:
    """Return the parsed manifest.json.

    Raises:
      ManifestError: if it is not one, is newer than this code, or was altered after it was written.
    """
    try:
        document = json.loads(
            content.decode(), parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_distinct
        )
    except RecursionError:
        document = None
    except ValueError as error:
        raise ManifestError(f"{DOCUMENT}: is not JSON: {printed(first_line(error))}") from None
    if document is None or _is_deep(document):
        raise ManifestError(f"{DOCUMENT}: cannot be read: it is nested too deep")
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise NoManifestError(f'{DOCUMENT}: is no manifest: it lacks "format": "{FORMAT}"')
    version = document.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise ManifestError(f"{DOCUMENT}: format_version is {version!r:.40}; expected a whole number from 1")
    if version > FORMAT_VERSION:
        raise NoManifestError(
            f"{DOCUMENT}: format_version {version} is newer than {FORMAT_VERSION}, the newest that this code "
            "reads; install a newer syllabus"
        )
    recorded = document.get(DIGEST_KEY)
    blank = content.replace(
        f'"{DIGEST_KEY}": "{recorded}"'.encode(), f'"{DIGEST_KEY}": "{"0" * 64}"'.encode(), 1
    )
    actual = hashlib.sha256(blank).hexdigest()
    if recorded != actual:
        raise ManifestError(
            f"{DOCUMENT}: its content has sha256 {actual[:12]}…, recorded {printed(str(recorded)[:12])}…: "
            "it was altered after it was written"
        )
    return document


def checked(content: bytes) -> dict[str, Any]:
    """Return the parsed manifest.json, in itself without a fault.

    Raises:
      ManifestError: as `decode`; or if a key is missing, of the wrong type, or contradicts another.
    """
    document = decode(content)
    _raise_first(content, document)
    return document


def _raise_first(content: bytes, document: dict[str, Any]) -> None:
    for problem in violations(content) or contradictions(document):
        raise ManifestError(f"{DOCUMENT}: {problem}")


def _bytes(document: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(
            document, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True, default=_plain
        )
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{DOCUMENT}: the description is not JSON: {error}") from None
    return f"{text}\n".encode()


def printed(text: str) -> str:
    """Return a key or a value on one line: a document may have any characters in both."""
    return repr(text)[1:-1]


def _is_deep(value: Any) -> bool:
    """Whether objects and arrays lie in each other more than `DEPTH` deep; this format needs 6."""
    level = [value]
    for _ in range(DEPTH):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [inner for values in inside for inner in values if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, none of whose keys stands there twice: parsers differ in which value they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r:.40} stands twice in an object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no number of double precision")
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r:.40} has no JSON form")
