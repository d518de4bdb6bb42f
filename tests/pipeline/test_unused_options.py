"""Options that would do nothing beside the others are refused where they were given, and only there."""

import itertools
from pathlib import Path

import pytest

from syllabus.pipeline import Options
from syllabus.pipeline.command_line.config import read_options, tomllib
from syllabus.pipeline.errors import UserError
from syllabus.pipeline.options import make_options

MODEL = {"source": "/data", "output": "/m", "text": "text", "encoder": "package:factory"}
GUIDED = {"objective": "facility_location_mutual_information", "query": "/q"}

# What does nothing beside what, and a change that gives it something to do.
UNUSED = [
    ({"trade_off": 0.4}, {"objective": "facility_location"}, {"importance": "graph_cut:0.5"}),
    ({"trade_off": 0.3}, {"subsets": 0}, {"importance": "graph_cut"}),
    ({"trade_off": 0.3}, GUIDED, {"objective": "graph_cut", "query": None}),
    ({"epsilon": 0.1}, {"optimizer": "lazy"}, {"optimizer": "lazier"}),
    ({"epsilon": 0.1}, {"subsets": 0}, {"subsets": 1}),
    ({"optimizer": "lazier"}, {"subsets": 0}, {"subsets": 2}),
    ({"objective": "facility_location"}, {"epochs": 6, "easy_fraction": 0.0}, {"easy_fraction": 0.1}),
    ({"easy_fraction": 0.5}, {}, {"epochs": 6}),
    ({"easy_fraction": 0.5}, {"subsets": 3}, {"subsets": None, "epochs": 6}),
    ({"epochs": 6}, {"subsets": 3}, {"subsets": None}),
    ({"epochs": 6}, {"optimizer": "lazy"}, {"optimizer": "stochastic"}),
    ({"ess": 0.3}, {"importance": ["radius:0.5", "graph_cut:0.1"]}, {"importance": ["radius:0.5", "radius"]}),
    ({"ess": 0.3}, {"importance": []}, {"importance": "graph_cut"}),
    ({"fraction": 0.2}, {"subsets": 0, "importance": []}, {"importance": "radius"}),
    ({"budgets": "sqrt"}, {"subsets": 0, "importance": []}, {"subsets": 1}),
    ({"duplicate_threshold": 0.9}, {"neighbours": 0}, {"holdout": "/h"}),
    ({"weight_power": 1.0}, {}, {"weight": "tokens"}),
    ({"weight_power": 1.0}, {"weight": "tokens", "subsets": 0}, {"subsets": 1}),
    ({"passes": 3}, {"order": "none"}, {"order": "balance"}),
    ({"dtype": "bfloat16"}, {"encoder": "hashing"}, {"encoder": "package:factory"}),
    ({"batch_size": 8}, {"text": None, "encoder": None, "embedding": "v"}, MODEL | {"embedding": None}),
    ({"device": "cpu"}, {"encoder": "hashing", "neighbours": 0}, {"neighbours": 1}),
    ({"max_text_bytes": 9}, {"text": None, "image": "i"}, {"text": "t", "image": None}),
    ({"max_image_bytes": 9}, {}, {"text": None, "image": "i"}),
    ({"max_image_pixels": 9}, {}, {"text": None, "image": "i"}),
    ({"max_label_bytes": 9}, {}, {"label": "l"}),
    ({"max_label_bytes": 9}, {"label": "l", "bins": 3}, {"bins": None}),
    ({"max_id_bytes": 9}, {}, {"id": "k"}),
]


def without_none(*values):
    merged = {}
    for each in values:
        merged |= each
    return {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parametrize(("option", "beside", "change"), UNUSED)
def test_an_option_that_would_do_nothing_is_one_line(option, beside, change):
    (name,) = option
    with pytest.raises(UserError) as error:
        make_options(without_none(MODEL, beside, option), "job.toml")
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"job.toml: {name}=")
    assert ": is of no use with " in line
    # Not given, it stands at its default; and where it does something, it may be given.
    assert make_options(without_none(MODEL, beside))
    assert make_options(without_none(MODEL, beside, option, change))


def test_what_is_made_in_python_is_held_to_the_same():
    with pytest.raises(ValueError, match="passes=3: is of no use with order='none'"):
        Options(**MODEL, order="none", passes=3)


# No flag takes an option away.
BY_FLAG = [
    each[:2] for each in UNUSED if each[1] and all(value not in (None, []) for value in each[1].values())
]


def toml(value):
    """Return a value as TOML writes it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


@pytest.mark.parametrize(("option", "beside"), BY_FLAG)
def test_a_flag_wins_over_what_it_makes_useless_in_the_file(tmp_path, option, beside):
    lines = [f"{name} = {toml(value)}" for name, value in {**MODEL, **option}.items()]
    (tmp_path / "job.toml").write_text("\n".join(lines))
    assert read_options(tmp_path / "job.toml", beside)
    # Both in one place are a mistake.
    with pytest.raises(UserError, match="is of no use with"):
        read_options(None, {**MODEL, **option, **beside})
    lines = [f"{name} = {toml(value)}" for name, value in {**MODEL, **option, **beside}.items()]
    (tmp_path / "both.toml").write_text("\n".join(lines))
    with pytest.raises(UserError, match="is of no use with"):
        read_options(tmp_path / "both.toml", {})


def test_every_default_stands_beside_every_choice():
    for objective, optimizer, order in itertools.product(
        ("graph_cut", "facility_location"), ("stochastic", "lazier", "lazy"), ("balance", "none")
    ):
        assert Options(**MODEL, objective=objective, optimizer=optimizer, order=order)


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("examples/*/prepare.toml")))
def test_the_shipped_jobs_give_nothing_in_vain(path):
    encoder = {} if "encoder" in tomllib.loads(path.read_text()) else {"encoder": "package:factory"}
    assert read_options(path, encoder)
