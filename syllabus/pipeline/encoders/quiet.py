"""Libraries that load models talk while they do it: bars, advice, notices of renaming. Errors pass."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

TALKERS = ("sentence_transformers", "transformers", "huggingface_hub")


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
