"""The document manifest.json: encoding with its digest, decoding with the check of it."""

import hashlib
import json
from typing import Any

import numpy as np

from syllabus.manifests.errors import ManifestError, NoManifestError
from syllabus.manifests.format.consistency import contradictions
from syllabus.manifests.format.json_schema import violations
from syllabus.manifests.format.schema import DOCUMENT, FORMAT, FORMAT_VERSION

DIGEST_KEY = "document_sha256"


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
        document = json.loads(content.decode(), parse_constant=_no_number)
    except RecursionError:
        raise ManifestError(f"{DOCUMENT}: cannot be read: it is nested too deep") from None
    except ValueError as error:
        raise ManifestError(f"{DOCUMENT}: is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise NoManifestError(f'{DOCUMENT}: is no manifest: it lacks "format": "{FORMAT}"')
    version = document.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise ManifestError(f"{DOCUMENT}: format_version is {version!r}; expected a whole number from 1")
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
            f"{DOCUMENT}: its content has sha256 {actual[:12]}…, recorded {str(recorded)[:12]}…: "
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


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r:.40} has no JSON form")
