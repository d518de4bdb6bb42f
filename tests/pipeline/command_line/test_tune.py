"""`syllabus tune`: a search from a file, and one line for each mistake in it."""

from importlib.util import find_spec

import pytest
from cli_jobs import lines_of
from small_manifest import write_small_manifest

from syllabus.pipeline.command_line import app as cli

pytestmark = pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")
TRAIN = """
import math

def load():
    return 7

def train(run):
    assert run.data == 7
    return 1 - abs(math.log(run.params["lr"] * run.share ** 0.5 / 0.01)) / 10

def fails(run):
    raise ValueError("no such network")
"""
CONFIG = """
manifest = "m"
train = "FUNCTION"
data = "MODULE:load"
epochs = 2
configurations = 4
finalists = 2
folder = "found"
[space]
lr = { low = 1e-4, high = 1e-1 }
[curriculum]
schedule = "fresh"
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Writes the file, in a folder that is not the working directory."""
    module = f"trains_{abs(hash(tmp_path))}"
    write_small_manifest(tmp_path / "m")
    (tmp_path / f"{module}.py").write_text(TRAIN)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])

    def write(function="train", **replaced):
        text = CONFIG.replace("FUNCTION", f"{module}:{function}").replace("MODULE", module)
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "search.toml"
        path.write_text(text)
        return str(path)

    return write


def test_a_search_from_a_file_prints_its_summary_and_draws_it(config, tmp_path, capsys):
    assert cli.run(["tune", config()]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("runs: 4 at 1/60, 2 at full: 2.1 full runs' worth of examples instead of 4")
    assert any(line.startswith("retrain in full with: lr=") for line in out)
    assert (tmp_path / "found" / "search.png").exists() == (find_spec("matplotlib") is not None)
    assert cli.run(["tune", config()]) == 0
    assert capsys.readouterr().out.splitlines() == out


@pytest.mark.parametrize(
    ("replaced", "line"),
    [
        ({"epochs = 2": "epoch = 2"}, "key 'epoch' is unknown; did you mean 'epochs'?"),
        ({"epochs = 2": ""}, "epochs is missing"),
        ({"epochs = 2": "epochs = 0"}, "epochs=0 is below 1"),
        ({'"m"': '"nowhere"'}, "nowhere"),
        ({":train": ":trian"}, "has no function 'trian'"),
        ({'train = "': 'train = "no_'}, "cannot import 'no_"),
        ({":train": ""}, "is not module:function"),
        ({"low = 1e-4": "least = 1e-4"}, "space: lr="),
        ({"[space]": "[space"}, "is not TOML"),
        ({"epochs = 2": "epochs = 2\nstorage = 5"}, "storage=5 is no text"),
        ({"epochs = 2": "epochs = 2\nlearning_rate = 5"}, "learning_rate=5 is no text"),
        ({"schedule": "shcedule"}, "did you mean 'schedule'?"),
    ],
)
def test_a_mistake_is_one_line(config, capsys, replaced, line):
    assert cli.run(["tune", config(**replaced)]) == 2
    (told,) = lines_of(capsys)
    assert line in told
    assert "search.toml" in told


def test_a_search_that_finds_nothing_fails(config, capsys):
    assert cli.run(["tune", config("fails")]) == 1
    assert "the first 3 runs failed, the last with ValueError: no such network" in lines_of(capsys)[-1]
