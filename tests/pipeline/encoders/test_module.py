"""Encoders made by a factory, and images: identities, errors, rejects."""

import io

import numpy as np
import pytest
import torch
from encoder_factories import FACTORIES, TEXTS, never, spec

from syllabus.pipeline.encoders import build, loading
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.runtime import torch_setup
from syllabus.pipeline.sources import Records
from syllabus.pipeline.stages.embed import encode_records


def test_a_precision_that_is_only_emulated_is_refused_before_loading(monkeypatch, factories):
    monkeypatch.setattr(torch_setup, "_has_native", lambda name: name == "float16")
    for asked in (spec("no/such-model", dtype="bfloat16"), factories("text", dtype="bfloat16")):
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
        ("imaginary", "gives torch.complex64; expected real numbers"),
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
    np.testing.assert_array_equal(
        encoder.clone_for_thread().encode(TEXTS, never), encoder.encode(TEXTS, never)
    )
    with pytest.raises(UserError, match="preprocess gives shapes"):
        build(factories("ragged")).encode(["a", "ab"], never)


def test_the_identity_of_a_module_follows_weights_and_source(factories, tmp_path):
    first = build(factories("text")).identity()
    assert build(factories("text")).identity() == first
    assert build(factories("other")).identity().weights_sha256 != first.weights_sha256
    (file,) = tmp_path.glob("factories_*.py")
    file.write_text(FACTORIES.replace('text.count("a")', 'text.count("b")'))
    assert build(factories("text")).identity().key_fields() != first.key_fields()


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


def test_a_broken_image_needs_no_preprocessing_that_resizes(factories):
    encoder = build(factories("image", content="image"))
    encoder.preprocess = lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1).float()  # 9 x 7
    rejected = []
    data = [b"no image", png((1, 2, 3)), png((4, 5, 6)), b""]
    made = encoder.encode(data, lambda row, *_: rejected.append(row))
    assert (sorted(rejected), made.shape[0]) == ([0, 3], 4)


def test_the_embed_stage_rejects_an_unreadable_image(factories, monkeypatch):
    monkeypatch.setattr(loading, "_loaded", {})
    records = Records([png((1, 2, 3)), b"no image", None, png((4, 5, 6))], None, None)
    records.reject(2, "null image")
    records.content[2] = None
    table, encoded, _ = encode_records(records, factories("image", content="image"), 2)
    assert encoded == 3
    assert table.column("reason").to_pylist() == [None, "unreadable image", "null image", None]
    assert "cannot identify image file" in table.column("detail").to_pylist()[1]


def test_vectors_of_another_width_are_refused_and_not_repeated(factories, monkeypatch):
    monkeypatch.setattr(loading, "_loaded", {})
    asked = factories("widening", batch_size=4)
    for texts in (["ab"] * 4 + ["b"] * 4, ["b"] * 4 + ["ab"] * 4):
        with pytest.raises(UserError, match=r"gives vectors of [13] values; its first ones have [13]"):
            build(asked).encode(texts, never)
    # And from one chunk to the next, by the width that the plan knows.
    with pytest.raises(UserError, match="gives vectors of 3 values; its first ones have 1"):
        encode_records(Records(["ab"] * 4, None, None), asked, 1)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_of_no_use_are_rejected_by_name(factories, monkeypatch, dtype):
    monkeypatch.setattr(loading, "_loaded", {})
    monkeypatch.setattr(torch_setup, "_has_native", lambda name: name == "float16")
    records = Records(["a", "", "x" * 300, "y" * 70_000], None, None)
    table, _, _ = encode_records(records, factories("powers", dtype=dtype), 2)
    beyond = "NaN vector" if dtype == "float16" else None
    assert table.column("reason").to_pylist() == [None, "zero vector", beyond, "NaN vector"]
    details = table.column("detail").to_pylist()
    assert details[1] == "a vector of norm 0 has no direction"
    assert details[3] == "the encoder gave a value that is not finite"
