"""The length at which a text model cuts its input, and which texts are beyond it.

Cost: nothing for ASCII texts with fewer characters than the limit has tokens; for others the tokenizer alone,
on the first `PREFIX` characters a token, which most long texts need no more of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

PREFIX = 8
"""Characters a token of the limit that are looked at first: English has 4 to 5."""
MARGIN = 8
"""Tokens that a tokenizer adds to a text: its ends, and a mark before the first word."""
UNLIMITED = 10**9
"""Tokenizers without a limit say 10^30."""
BLOCK = 256
"""Texts that are tokenized at once."""


@dataclass(frozen=True)
class TokenLimit:
    """The most `tokens` that a model takes of a text; `prompt` is put before each text and counts."""

    tokens: int
    tokenizer: Any
    prompt: str

    def exceeded(self, texts: list[str]) -> np.ndarray:
        """Return the (n,) mask of the texts that have more tokens."""
        whole = [self.prompt + text for text in texts]
        found = np.zeros(len(texts), bool)
        # An ASCII text has no more tokens than characters; another may, once it is normalised.
        asked = [n for n, text in enumerate(whole) if len(text) + MARGIN > self.tokens or not text.isascii()]
        # A text whose beginning is too long is too long; a word that this cuts in two is left out of it.
        reach = PREFIX * self.tokens
        begun = [n for n in asked if len(whole[n]) > reach and " " in whole[n][:reach]]
        found[begun] = self._above([whole[n][:reach].rpartition(" ")[0] for n in begun])
        rest = [n for n in asked if not found[n]]
        found[rest] = self._above([whole[n] for n in rest])
        return found

    def counts(self, texts: list[str]) -> np.ndarray:
        """Return the (n,) int64 tokens of texts, without the prompt and what marks the ends."""
        whole = np.array(self._counts([self.prompt + text for text in texts]), np.int64)
        return np.maximum(whole - self.tokens_beside(), 1)

    def tokens_beside(self) -> int:
        """Return the tokens of every text that are not its own: the prompt's, and what marks the ends."""
        return self._counts([self.prompt])[0]

    def _above(self, texts: list[str]) -> list[bool]:
        return [count > self.tokens for count in self._counts(texts)]

    def _counts(self, texts: list[str]) -> list[int]:
        counts: list[int] = []
        for start in range(0, len(texts), BLOCK):
            made = self.tokenizer(
                texts[start : start + BLOCK],
                padding=False,
                truncation=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            counts += [len(ids) for ids in made["input_ids"]]
        return counts


def token_limit(model: Any) -> TokenLimit | None:
    """Return the limit of a `SentenceTransformer`; None where it has none, or no tokenizer that counts."""
    tokens, processor = getattr(model, "max_seq_length", None), getattr(model, "tokenizer", None)
    tokenizer = getattr(processor, "tokenizer", processor)
    if not isinstance(tokens, int | float) or not 0 < tokens < UNLIMITED:
        return None
    if not (callable(tokenizer) and hasattr(tokenizer, "num_special_tokens_to_add")):
        return None
    prompts, default = getattr(model, "prompts", None) or {}, getattr(model, "default_prompt_name", None)
    return TokenLimit(int(tokens), tokenizer, prompts.get(default) or "")
