"""Finding a sentence-transformers model: a directory, the local cache, or the hub, each asked once."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.pipeline.encoders.quiet import quiet
from syllabus.pipeline.errors import UserError

TIMEOUT = 10.0


def load_model(name: str, device: str, dtype: Any) -> Any:
    """Return the `SentenceTransformer` of that name or path, ready to encode.

    Loading by name asks the hub again and again where it cannot be reached; so the cache is tried first,
    and whether the hub has such a model is asked once.
    """
    local = Path(name).exists()
    if not local and difflib.get_close_matches(name, ["hashing"], cutoff=0.8):
        raise UserError(f"encoder {name!r} is unknown; did you mean 'hashing'?")
    if not local and name.startswith((".", "/", "~")):
        raise _unusable(name, "no such directory")
    with quiet():
        from sentence_transformers import SentenceTransformer

        def load(**how: Any) -> Any:
            return SentenceTransformer(name, device=device, model_kwargs={"dtype": dtype}, **how).eval()

        if local:
            try:
                return load(local_files_only=True)
            except Exception as error:  # every library below raises its own
                raise _unusable(name, f"cannot be loaded from that path: {_line(error)}") from None
        try:
            return load(local_files_only=True)
        except Exception:  # not in the cache, or only part of it
            _ask_hub(name)
        try:
            return load()
        except Exception as error:
            raise _unusable(name, _line(error)) from None


def _ask_hub(name: str) -> None:
    """Raise a `UserError` unless the hub has a model of that name."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        raise _unusable(name, "it is not in the local cache, and HF_HUB_OFFLINE is set")
    for full in (name,) if "/" in name else (f"sentence-transformers/{name}", name):
        try:
            HfApi().model_info(full, timeout=TIMEOUT)
            return
        except (RepositoryNotFoundError, HFValidationError):
            continue
        except HfHubHTTPError as error:
            raise _unusable(name, f"the hub answers: {_line(error)}") from None
        except Exception as error:  # no network, in one of many words
            raise _unusable(
                name, f"it is not in the local cache, and the hub cannot be reached: {_line(error)}"
            ) from None
    raise _unusable(name, "the hub has no such model")


def _unusable(name: str, why: str) -> UserError:
    return UserError(
        f"encoder {name!r} is not known: neither a sentence-transformers model (name or path), nor"
        f" package.module:factory, nor 'hashing': {why}"
    )


def _line(error: BaseException) -> str:
    return first_line(error).strip()[:200]
