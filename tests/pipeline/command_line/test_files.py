"""The files of a job on the command line: what cannot be read or written is one line that names it."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from cli_jobs import lines_of, prepare, write_rows


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("data") / "texts.parquet")


def test_a_source_that_cannot_be_used_is_one_line(tmp_path, capsys, data):
    (tmp_path / "empty").mkdir()
    (tmp_path / "header.csv").write_text("text,class\n")
    (tmp_path / "short.parquet").write_bytes(data.read_bytes()[:-50])
    (tmp_path / "zero.parquet").write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    for name, line in {
        "none": "no such file or directory",
        "empty": "holds no file that ends in .parquet",
        "header.csv": "is empty: 1 files, 0 rows",
        "short.parquet": "short.parquet: cannot be read as Parquet",
        "zero.parquet": "zero.parquet: cannot be read as Parquet",
    }.items():
        assert prepare(tmp_path / name, tmp_path / "m") == 2
        (told,) = lines_of(capsys)
        assert line in told
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_cannot_be_used_is_one_line(data, capsys, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "manifest.json").write_text("{}")
    for output, line in {
        tmp_path / "made": "holds a committed manifest",
        data: "is the source itself",
        data / "m": "lies in the source",
        data.parent: "holds source=",
    }.items():
        assert prepare(data, output) == 2
        (told,) = lines_of(capsys)
        assert line in told
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.doc").write_text("mine")
    assert prepare(data, tmp_path / "m") == 2
    (told,) = lines_of(capsys)
    assert "thesis.doc" in told


def test_too_many_label_values_is_a_mistake(data, tmp_path, capsys):
    assert prepare(data, tmp_path / "m", label="id") == 2
    assert "label='id': has at least 300 values for 300 examples" in lines_of(capsys)[-1]
    assert not (tmp_path / "m").exists()


def test_a_failed_job_ends_with_1(tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "fine words", "class": "a"}\n' * 19 + '{"text": null, "class": "a"}\n')
    assert prepare(bad, tmp_path / "m") == 1
    told = lines_of(capsys)
    assert "1 of 20 rows are bad (5.00%; max_reject_rate is 1.00%)" in told[-1]
    assert not (tmp_path / "m").exists()


def test_a_page_that_turns_out_to_be_broken_is_one_line(data, tmp_path):
    content = bytearray(data.read_bytes())
    content[4:-3000] = bytes(len(content) - 3004)
    (tmp_path / "spoilt.parquet").write_bytes(content)
    # In a process of its own: pytest takes over what Beam logs.
    command = [
        sys.executable,
        "-m",
        "syllabus.pipeline",
        "prepare",
        "--source",
        str(tmp_path / "spoilt.parquet"),
    ]
    command += ["--output", str(tmp_path / "m"), "--text", "text", "--encoder", "hashing"]
    ended = subprocess.run(command, capture_output=True, text=True)
    said, told = ended.stderr.splitlines()
    assert ended.returncode == 2
    assert said.startswith("subsets: 16 of ")
    assert "spoilt.parquet: cannot be read as Parquet" in told
    assert not (tmp_path / "m").exists()


QUERY = ["--objective", "facility_location_mutual_information", "--query"]
PRIVATE = ["--objective", "facility_location_conditional_gain", "--private"]


@pytest.mark.parametrize(
    ("option", "flags"), [("query", QUERY), ("private", PRIVATE), ("holdout", ["--holdout"])]
)
def test_the_files_of_an_option_are_named_by_it(data, tmp_path, capsys, option, flags):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").write_text("text\n")
    (tmp_path / "other.csv").write_text("txt\nwords\n")
    (tmp_path / "short.parquet").write_bytes(data.read_bytes()[:-50])
    (tmp_path / "bad.jsonl").write_text('{"text": null}\n')
    content = bytearray(data.read_bytes())
    content[4:-3000] = bytes(len(content) - 3004)
    (tmp_path / "spoilt.parquet").write_bytes(content)
    problems = {
        "none.csv": ": no such file or directory",
        "folder": ": holds no file that ends in .parquet",
        "empty.csv": ": is empty",
        "other.csv": ": column 'text' is unknown; did you mean 'txt'?",
        "short.parquet": ": cannot be read as Parquet",
        "spoilt.parquet": ": cannot be read as Parquet",
        "bad.jsonl": ": none of its 1 rows" if option == "holdout" else ": bad.jsonl row 0: null text",
    }
    for name, line in problems.items():
        assert prepare(data, tmp_path / "m", "--subsets", "1", *flags, str(tmp_path / name)) == 2
        told = lines_of(capsys)[-1]
        assert told.startswith(f"syllabus: {option} {tmp_path / name}{line}"), told
    assert not (tmp_path / "m").exists()


def test_an_output_that_takes_nothing_is_told_before_anything_is_read(data, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(
        "syllabus.pipeline.preparation.make_plan", lambda _: pytest.fail("the source was read")
    )
    for flags, name in (([], "output"), (["--work-dir", str(tmp_path / "file" / "w")], "work_dir")):
        output = tmp_path / ("file" if name == "output" else "m") / "m"
        assert prepare(data, output, *flags) == 2
        (told,) = lines_of(capsys)
        assert told.startswith(f"syllabus: {name} {tmp_path}")
        assert f"is no directory: {tmp_path / 'file'}" in told
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_that_no_disk_takes_is_one_line(data, tmp_path, capsys):
    assert prepare(data, tmp_path / ("m" * 300)) == 2
    (told,) = lines_of(capsys)
    assert told.startswith(f"syllabus: output {tmp_path}")
    assert "File name too long" in told


def test_a_disk_without_room_is_told_before_vectors_are_made(data, tmp_path, capsys, monkeypatch):
    disk = SimpleNamespace(f_bavail=10, f_frsize=1000, f_blocks=5000)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert prepare(data, tmp_path / "m") == 2
    (told,) = lines_of(capsys)
    assert "has 0.0 MB of space left; at least" in told
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_job_from_python_tells_only_its_own_lines(data, tmp_path):
    code = (
        "from syllabus.pipeline import Options, prepare\n"
        f"prepare(Options(source={str(data)!r}, output={str(tmp_path / 'm')!r}, text='text', label='class',"
        " encoder='hashing', subsets=1))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "WARNING" not in ended.stderr
    assert ended.stderr.startswith("subsets: 1 of 30 rows each")
