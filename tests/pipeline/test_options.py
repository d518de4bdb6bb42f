"""Options: one set of names for TOML, flags and Python; each mistake is one line that names its place."""

import math
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from syllabus.pipeline.command_line import app as cli
from syllabus.pipeline.command_line.config import read_options
from syllabus.pipeline.command_line.flags import NOT_FLAGS
from syllabus.pipeline.errors import UserError, suggestion
from syllabus.pipeline.options import Options, choices, easy_epochs, make_options
from syllabus.pipeline.options.options import unused_options

LEAST = {"source": "/data", "output": "/m", "text": "text", "encoder": "hashing"}


def mistake(**values):
    with pytest.raises(UserError) as error:
        make_options({**LEAST, **values}, "job.toml")
    line = str(error.value)
    assert line.startswith("job.toml: ")
    assert len(line.splitlines()) == 1
    assert len(line) < 2000
    return line.removeprefix("job.toml: ")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"fraction": 1.5}, "fraction=1.5: 1.5 is outside (0, 1]"),
        ({"fraction": [0.1, 0]}, "fraction=[0.1, 0]: 0.0 is outside (0, 1]"),
        ({"fraction": []}, "none is given"),
        ({"fraction": "0.1"}, "fraction='0.1': input should be a valid number"),
        ({"fraction": math.nan}, "fraction=nan: input should be a finite number"),
        ({"seed": "3"}, "seed='3': input should be a valid integer"),
        ({"seed": True}, "seed=True: input should be a valid integer"),
        ({"seed": 1.0}, "seed=1.0: input should be a valid integer"),
        ({"seed": -1}, "seed=-1: input should be greater than or equal to 0"),
        ({"overwrite": 1}, "overwrite=1: input should be a valid boolean"),
        ({"text": 7}, "text=7: input should be a valid string"),
        ({"text": ""}, "text='': is empty"),
        ({"output": ""}, "output='': is empty"),
        ({"workers": 0}, "workers=0: input should be greater than or equal to 1"),
        ({"max_reject_rate": 2}, "max_reject_rate=2: input should be less than or equal to 1"),
        ({"trade_off": math.inf}, "trade_off=inf: input should be a finite number"),
        ({"objective": "graphcut"}, "objective 'graphcut' is unknown; did you mean 'graph_cut'?"),
        ({"importance": ["radius", "radii"]}, "importance 'radii' is unknown; did you mean 'radius'?"),
        ({"importance": "radius:2"}, "an effective sample size of 2 is outside (0, 1]"),
        ({"importance": "radius:x"}, "'radius:x': 'x' is no number"),
        (
            {"query": "/q"},
            "query='/q': is of no use with objective='graph_cut'; facility_location_",
        ),
        (
            {"objective": "facility_location_conditional_gain"},
            "needs private, the rows that",
        ),
        ({"budgets": "all"}, "budgets 'all' is unknown; known: proportional, equal, sqrt"),
        ({"preprocess": "center+pca:0"}, "is none of none, center, standardise, center+pca:D"),
        ({"framction": 0.1}, "option 'framction' is unknown; did you mean 'fraction'?"),
        ({"data": {"source": "x"}}, "option 'data' is unknown; known: source, output"),
        ({"passes": 10**12}, "passes=1000000000000: input should be less than or equal to 1000"),
        ({"subsets": 10**12}, "input should be less than or equal to 100000"),
        ({"epochs": 10**12}, "input should be less than or equal to 100000"),
        ({"seed": 16**5000}, "seed=int too large to show: input should be less than 9223372036854775808"),
        ({"trade_off": 10**400}, "… (401 characters): input should be a valid number"),
        ({"text": "a" * 5000}, "has 5,000 characters; at most 4,096"),
        ({"encoder": "a" * 300}, "a name in it is longer than 255 bytes"),
        ({"preprocess": "center+pca:²"}, "is none of none, center, standardise, center+pca:D"),
        ({"preprocess": "center+pca:" + "1" * 4000}, "is none of none, center, standardise, center+pca:D"),
        ({"source": "a\0b"}, "holds a NUL byte"),
        ({"label": "a\0b"}, "holds a NUL byte"),
        ({"where": ["a=\ud800"]}, "is not Unicode"),
        ({"output": "~no-such-user/m"}, "there is no home directory '~no-such-user'"),
        ({"objective": "x" * 10**6}, "is unknown; known: graph_cut"),
        ({"image": "image"}, "give exactly one of text, image, embedding; got text, image"),
        ({"text": None}, "give exactly one of text, image, embedding; got none"),
        ({"encoder": None}, "encoder is missing: text needs one, such as hashing"),
        ({"text": None, "embedding": "v"}, "encoder='hashing' is of no use"),
        ({"bins": 4}, "bins=4: is of no use without a label, the number to cut"),
        ({"bins": 1, "label": "l"}, "bins=1: input should be greater than or equal to 2"),
        ({"clusters": 4, "label": "l"}, "clusters=4: is of no use: label='l' cuts the partitions"),
        ({"where": "split"}, "where='split': 'split' is not COLUMN=VALUE"),
        ({"optimizer": "lazy", "subsets": 4}, "subsets=4: greedy gives one subset"),
        ({"output": "/data"}, "output='/data': is the source itself; a rerun would take it for data"),
        ({"output": "/data/m"}, "output='/data/m': lies in the source"),
        ({"output": "/data/../data/m"}, "output='/data/m': lies in the source"),
        ({"output": "/d", "work_dir": "/data/w"}, "work_dir='/data/w': lies in the source"),
        ({"source": "/m/data"}, "output='/m': holds source='/m/data'; give it a directory of its own"),
        ({"work_dir": "/m/work"}, "output='/m': holds work_dir='/m/work'"),
        ({"work_dir": "/m"}, "output='/m': holds work_dir='/m'"),
        ({"source": "s3://b/d", "output": "s3://b/d/m?region=x"}, "lies in the source"),
    ],
)
def test_a_mistake_is_one_line(values, line):
    assert line in mistake(**values)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"fraction": 2}, "options: fraction=2: 2.0 is outside (0, 1]"),
        ({"seed": "x"}, "options: seed='x': input should be a valid integer"),
        ({"fractoin": 0.1}, "options: option 'fractoin' is unknown; did you mean 'fraction'?"),
        ({"output": "/data"}, "options: output='/data': is the source itself"),
    ],
)
def test_in_python_a_mistake_is_the_same_line(values, line):
    with pytest.raises(UserError) as error:
        Options(**{**LEAST, **values})
    assert str(error.value).startswith(line)


def test_a_missing_option_is_named():
    with pytest.raises(UserError, match=r"^options: option 'output' is missing$"):
        make_options({"source": "/data"})


def test_locations_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    options = Options(
        **{
            **LEAST,
            "source": Path("a/../data"),
            "output": "file:///x/a%20b",
            "work_dir": "~/w",
            "encoder": "model",
        }
    )
    assert options.source == f"{tmp_path}/data"
    assert options.output == "/x/a b"
    assert options.work == os.path.expanduser("~/w")  # noqa: PTH111
    assert options.encoder == f"{tmp_path}/model"
    assert make_options({**LEAST, "output": "s3://bucket/m/"}).work == "s3://bucket/m.work"
    assert make_options({**LEAST, "output": "s3://bucket/m/?region=x"}).work == "s3://bucket/m.work?region=x"
    assert make_options({**LEAST, "encoder": "org/model"}).encoder == "org/model"


def test_a_link_to_the_source_is_the_source(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert "lies in the source" in mistake(source=str(tmp_path / "data"), output=str(tmp_path / "link" / "m"))
    # Names that only begin alike are apart.
    assert make_options({**LEAST, "source": "/data", "output": "/data2"})


def test_options_are_frozen_and_normalised():
    options = make_options({**LEAST, "fraction": [0.3, 0.1, 0.3], "importance": "radius"})
    assert (options.fraction, options.importance) == ((0.1, 0.3), ("radius",))
    assert make_options({**LEAST, "fraction": 1}).fraction == (1.0,)
    with pytest.raises(ValidationError):
        options.seed = 3


def test_subsets_follow_the_epochs():
    assert make_options(LEAST).subset_count == 16
    assert make_options({**LEAST, "epochs": 12}).subset_count == 2
    assert make_options({**LEAST, "epochs": 13}).subset_count == 3
    assert make_options({**LEAST, "subsets": 0}).subset_count == 0
    assert make_options({**LEAST, "optimizer": "lazy"}).subset_count == 1
    assert [easy_epochs(1 / 6, epochs) for epochs in (1, 6, 7, 12, 18, 600)] == [1, 1, 2, 2, 3, 100]


def test_what_is_recorded_says_nothing_of_place_or_speed():
    here = make_options(LEAST).recorded()
    there = make_options(
        {**LEAST, "source": "/x", "output": "/y", "workers": 8, "runner": "FlinkRunner", "overwrite": True}
    ).recorded()
    assert here == there
    assert "/data" not in str(here)
    assert here["subsets"] == 16
    assert make_options({**LEAST, "seed": 1}).recorded() != here


EXAMPLES = {str: "x", int: "3", float: "0.5", bool: None}


def through_flags(arguments, monkeypatch):
    """The options that the command line makes of its arguments."""
    made = []
    monkeypatch.setattr(
        "syllabus.pipeline.command_line.config.make_options",
        lambda *given: made.append(make_options(*given)) or stop(),
    )

    def stop():
        raise UserError("enough")

    assert cli.run(["prepare", *arguments]) == 2
    return made[0]


def test_toml_and_flags_give_equal_options(tmp_path, monkeypatch):
    text = """
        source = "data/d.parquet"\noutput = "out/m"\nwork_dir = "/w"\nimage = "picture"\nlabel = "l"\nid = "k"
        encoder = "a.b:c"\ndtype = "bfloat16"\ndevice = "cpu"\nbatch_size = 7\npreprocess = "center+pca:5"
        fraction = [0.2, 0.1]\nobjective = "facility_location_mutual_information"\nquery = "q.csv"
        trade_off = 0.3\noptimizer = "stochastic"\nweight = "tokens"\nweight_power = 0.25
        epsilon = 0.2\nepochs = 30\neasy_fraction = 0.5\nimportance = ["radius:0.5", "graph_cut"]\ness = 0.3
        budgets = "sqrt"\norder = "balance"\npasses = 2\nsketch_dim = 8\nbins = 9\nbucket_size = 99\nseed = 5
        workers = 2\nthreads_per_worker = 3\nmemory_per_worker = 1.5\nmax_reject_rate = 0.2
        runner = "PrismRunner"\noverwrite = true\nrunner_options = ["--a=b", "-c"]\nwhere = ["a=b", "c=d=e"]
        follow_links = true\nholdout = "data/test.d"\nneighbours = 7\nduplicate_threshold = 0.8
    """
    (tmp_path / "job.toml").write_text(text)
    from_file = read_options(tmp_path / "job.toml", {})
    given = {name: value for name, value in from_file.model_dump().items() if value is not None}
    assert set(Options.model_fields) - set(given) == {"text", "embedding", "clusters", "private", "subsets"}
    bounds_of_others = {each.option for each in unused_options(from_file)}
    assert bounds_of_others == {"max_text_bytes", "max_label_bytes", "long_texts"}
    arguments = []
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        if name in NOT_FLAGS or name in bounds_of_others:
            continue
        for each in value if isinstance(value, tuple) else (value,):
            arguments += [flag] if each is True else [flag, str(each)]
    assert through_flags([*arguments, "--", "--a=b", "-c"], monkeypatch) == from_file


def test_a_flag_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / "job.toml").write_text(
        'source = "d"\noutput = "m"\ntext = "t"\nencoder = "hashing"\n'
        "seed = 5\nfraction = 0.3\noverwrite = true\n"
    )
    monkeypatch.chdir("/")
    arguments = [str(tmp_path / "job.toml"), "--seed", "0", "--no-overwrite", "--source", "d"]
    options = through_flags(arguments, monkeypatch)
    assert (options.seed, options.fraction, options.overwrite) == (0, (0.3,), False)
    # A location in the file belongs to the file's directory, one in a flag to the working directory.
    assert (options.source, options.output) == ("/d", f"{tmp_path}/m")


def test_mistakes_name_the_flag_or_the_file(tmp_path):
    config = tmp_path / "job.toml"
    least = 'source = "d"\noutput = "m"\ntext = "t"\nencoder = "hashing"\n'
    config.write_text(least + 'seed = "x"\n')
    with pytest.raises(UserError, match=r"job.toml: seed='x': "):
        read_options(config, {})
    with pytest.raises(UserError, match=r"^--fraction: fraction=\[2.0\]: 2.0 is outside"):
        read_options(config, {"seed": 1, "fraction": [2.0]})
    config.write_text("source = \n")
    with pytest.raises(UserError, match=r"is not TOML: .*line 1"):
        read_options(config, {})
    for text, line in {
        "source = " + "[" * 5000: "brackets are nested too deep",
        "source = " + "{a = " * 5000: "brackets are nested too deep",
        "seed = " + "1" * 5000: "cannot be read as TOML: Exceeds the limit",
        least + "seed = 0x" + "f" * 5000: "seed=int too large to show: input should be less than",
        least + "seed = 1979-05-27": r"seed=datetime.date\(1979, 5, 27\): input should be a valid integer",
        '"\\u001b[31m" = 1': r"option '\\x1b\[31m' is unknown",
    }.items():
        config.write_text(text)
        with pytest.raises(UserError, match=line):
            read_options(config, {})
    config.write_bytes(b"source = '\xff'")
    with pytest.raises(UserError, match="cannot be read"):
        read_options(config, {})
    with pytest.raises(UserError, match="cannot be read"):
        read_options(tmp_path, {})
    with pytest.raises(UserError, match="no such file"):
        read_options(tmp_path / "none.toml", {})


def test_an_encoder_in_the_file_may_be_a_path_beside_it(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "job.toml").write_text('source = "d"\noutput = "m"\ntext = "t"\nencoder = "model"\n')
    assert read_options(tmp_path / "job.toml", {}).encoder == f"{tmp_path}/model"


def test_choices_and_suggestions():
    assert choices("dtype") == ("float32", "bfloat16", "float16")
    assert choices("objective")[:2] == ("graph_cut", "facility_location")
    assert choices("seed") == choices("text") == choices("fraction") == ()
    assert suggestion("colour", "gren", ["red", "green"]) == "colour 'gren' is unknown; did you mean 'green'?"
    assert suggestion("colour", "xyz", ["red", "green"]) == "colour 'xyz' is unknown; known: red, green"


def test_a_share_of_epochs_that_is_whole_is_not_rounded_up():
    assert 0.28 * 25 > 7
    assert easy_epochs(0.28, 25) == 7
