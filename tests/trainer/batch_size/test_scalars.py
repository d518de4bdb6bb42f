"""Options of batch sizes as scalars of numpy and torch, and of the wrong type."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from syllabus.trainer import BatchSizeController, TrainerError
from syllabus.trainer.batch_size import AdaDamp, GeoDamp, NoiseScale, NormTest


def test_scalars_leave_a_state_that_torch_reads():
    controller = BatchSizeController(
        GeoDamp(epochs=np.int64(5), factor=torch.tensor(2.0)),
        np.int64(8),
        maximum=np.int64(64),
        growth=np.float32(2),
        dwell=torch.tensor(3),
    )
    plain = BatchSizeController(GeoDamp(epochs=5, factor=2.0), 8, maximum=64, growth=2.0, dwell=3)
    file = io.BytesIO()
    torch.save(controller.state_dict(), file)
    file.seek(0)
    plain.load_state_dict(torch.load(file, weights_only=True))
    assert plain.state_dict() == controller.state_dict()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"initial": 3.7}, "initial=3.7 is a float; expected an integer"),
        ({"initial": "32"}, "initial='32' is a str"),
        ({"initial": True}, "initial=True is a bool"),
        ({"initial": 8, "maximum": 100.5}, "maximum=100.5 is a float"),
        ({"initial": 8, "dwell": "2"}, "dwell='2' is a str"),
        ({"initial": 8, "growth": "2"}, "growth='2' is a str; expected a number"),
        ({"initial": 8, "monotone": "no"}, "monotone='no' is a str; expected True or False"),
    ],
)
def test_options_of_the_wrong_type_are_one_line(options, line):
    with pytest.raises(TrainerError, match=f"^BatchSizeController: {line}"):
        BatchSizeController(AdaDamp(), **options)


@pytest.mark.parametrize(("rule", "value"), [(NoiseScale, "1"), (NormTest, True), (NormTest, "a")])
def test_options_of_rules_are_numbers(rule, value):
    with pytest.raises(TrainerError, match=rule.__name__):
        rule(value)
