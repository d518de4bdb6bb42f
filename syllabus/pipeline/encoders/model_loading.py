"""Loading of sentence-transformers models, in silence, from a directory, the local cache or the hub."""

from __future__ import annotations

import difflib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import UserError

TIMEOUT = 10.0
TALKERS = ("sentence_transformers", "transformers", "huggingface_hub")
"""Libraries that print bars, advice and notices of renaming while they load models."""
ROOT_FILES = ("modules.json", "config.json", "config_sentence_transformers.json")
"""Of which every model has one at its root; CLIP models have no config.json there."""


def check_name(name: str) -> None:
    """Refuse what is plainly no name of a model, before libraries that take seconds to import."""
    if Path(name).exists():
        return
    if difflib.get_close_matches(name, ["hashing"], cutoff=0.8):
        raise UserError(f"encoder {name!r} is unknown; did you mean 'hashing'?")
    if name.startswith((".", "/", "~")):
        raise _unusable(name, "no such directory")


def check_model(name: str) -> None:
    """Refuse a name that is neither a path, nor in the local cache, nor on the hub; which is asked once."""
    check_name(name)
    if Path(name).exists():
        return
    if not _is_cached(name):
        _ask_hub(name)


def _is_cached(name: str) -> bool:
    """Whether one of the folders that sentence-transformers may load from has something of the model."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    folder = os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    try:
        return any(
            isinstance(try_to_load_from_cache(full, file, cache_dir=folder), str)
            for full in _full_names(name)
            for file in ROOT_FILES
        )
    except HFValidationError:
        return False


def _full_names(name: str) -> tuple[str, ...]:
    return (name,) if "/" in name else (f"sentence-transformers/{name}", name)


def load_model(name: str, device: str, dtype: Any) -> Any:
    """Return the `SentenceTransformer` of that name or path, ready to encode.

    Loading by name asks the hub again and again where it cannot be reached; so the cache is tried first,
    and whether the hub has such a model is asked once.
    """
    local = Path(name).exists()
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


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the advice of model libraries while the block runs; levels are restored after it."""
    # The tokenizer's own threads after a fork are a warning at best; workers bring their own parallelism.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging as bars

        shown = bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        loggers = [logging.getLogger(name) for name in TALKERS]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if shown:
                bars.enable_progress_bar()


def _ask_hub(name: str) -> None:
    """Raise a `UserError` unless the hub has a model of that name."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        raise _unusable(name, "it is not in the local cache, and HF_HUB_OFFLINE is set")
    for full in _full_names(name):
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
