"""Which files of a folder are read: links in circles, out of the source, to nowhere; pipes and sockets."""

import os
import random
import socket

import pytest
from source_files import contents, mistake, write

from syllabus.pipeline.sources import Columns, open_source

TEXT = Columns("text", "text")


def put(folder, *names):
    """Lines of text, each saying the name under which it was written."""
    for name in names:
        write(folder / name, [{"text": name}])


def names(folder, follow_links=False):
    source, left_out = open_source(str(folder), follow_links)
    return source.files, {left.name for left in left_out}


@pytest.fixture
def data(tmp_path):
    put(tmp_path / "data", "a/1.jsonl", "b/1.jsonl", "top.jsonl")
    return tmp_path / "data"


OWN = ["a/1.jsonl", "b/1.jsonl", "top.jsonl"]


def test_links_inside_the_source_add_nothing(data):
    links = {"a/loop": data, "a/self": ".", "0": data / "b", "0.jsonl": "top.jsonl", "z": "0", "b/up": "../a"}
    for name, target in links.items():
        (data / name).symlink_to(target)
    assert names(data) == (OWN, set(links))
    assert names(data, follow_links=True) == (OWN, set(links))
    assert contents(data, TEXT) == OWN


def test_a_source_that_is_a_link_is_what_it_leads_to(data, tmp_path):
    (tmp_path / "folder").symlink_to(data)
    (tmp_path / "one.jsonl").symlink_to(data / "top.jsonl")
    assert names(tmp_path / "folder") == (OWN, set())
    assert contents(tmp_path / "one.jsonl", TEXT) == ["top.jsonl"]


@pytest.mark.parametrize("target", ["elsewhere", "elsewhere/c.jsonl"])
def test_links_out_of_the_source_are_asked_for(data, tmp_path, target):
    put(tmp_path / "elsewhere", "c.jsonl", "d.jsonl")
    (data / "out.jsonl").symlink_to(tmp_path / target)
    told = mistake(data)
    assert "out.jsonl is a link that leads out of the source, to" in told
    assert told.endswith(f"{target}; --follow-links reads it")
    out = "out.jsonl/{}.jsonl" if target == "elsewhere" else "out.jsonl"
    expected = ["a/1.jsonl", "b/1.jsonl", *(out.format(n) for n in ("c", "d")[: 1 + (out != "out.jsonl")])]
    assert names(data, follow_links=True)[0] == [*expected, "top.jsonl"]


def test_a_folder_beside_the_source_with_a_longer_name_is_outside(data, tmp_path):
    put(tmp_path / "data2", "c.jsonl")
    (data / "out").symlink_to("../data2")
    assert "leads out of the source" in mistake(data)


def test_of_several_links_to_one_file_the_first_in_canonical_order_names_it(data, tmp_path):
    put(tmp_path / "elsewhere", "c.jsonl")
    for name in ("z.jsonl", "a/9.jsonl", "a/x"):
        (data / name).symlink_to(tmp_path / "elsewhere" / ("" if name == "a/x" else "c.jsonl"))
    (tmp_path / "elsewhere" / "back").symlink_to(data)  # round in a circle, by way of the outside
    files, left_out = names(data, follow_links=True)
    assert files == ["a/1.jsonl", "a/9.jsonl", "b/1.jsonl", "top.jsonl"]
    assert left_out == {"a/x/c.jsonl", "a/x/back", "z.jsonl"}


def test_a_link_to_a_hidden_file_of_the_source_names_it(data):
    put(data / ".store", "5f3a", "folder/e.jsonl")
    (data / "c.jsonl").symlink_to(".store/5f3a")
    (data / "d").symlink_to(".store/folder")
    assert names(data) == (["a/1.jsonl", "b/1.jsonl", "c.jsonl", "d/e.jsonl", "top.jsonl"], set())


def test_hard_links_are_files_of_their_own(data):
    (data / "again.jsonl").hardlink_to(data / "top.jsonl")
    assert names(data) == (["a/1.jsonl", "again.jsonl", "b/1.jsonl", "top.jsonl"], set())


def test_a_link_that_leads_nowhere_is_refused_where_it_names_data(data):
    (data / "gone").symlink_to("nowhere")
    (data / "round").symlink_to("round")
    assert names(data) == (OWN, {"gone", "round"})
    (data / "gone.jsonl").symlink_to("nowhere.jsonl")
    assert "gone.jsonl is a link that leads nowhere" in mistake(data)


def test_a_link_around_the_source_is_refused_whatever_is_asked(data):
    (data / "all").symlink_to("/")
    with pytest.raises(ValueError, match="a folder that holds the source"):
        open_source(str(data), follow_links=True)


def test_pipes_and_sockets_are_never_opened(data, tmp_path):
    os.mkfifo(data / "pipe")
    (data / "null").symlink_to("/dev/zero")
    assert names(data) == (OWN, {"pipe", "null"})
    os.mkfifo(data / "pipe.jsonl")
    assert "pipe.jsonl is a pipe, a socket or a device" in mistake(data)
    (data / "pipe.jsonl").unlink()
    (data / "zero.jsonl").symlink_to("/dev/zero")
    assert "zero.jsonl is a pipe, a socket or a device" in mistake(data)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.jsonl"))
        assert "is a pipe, a socket or a device; give a file" in mistake(tmp_path / "s.jsonl")


def test_any_tree_of_links_gives_each_file_once(tmp_path):
    """Against the set of real paths, and again after the names were made in another order."""
    draw = random.Random(0)
    for number in range(30):
        root = tmp_path / str(number)
        folders = [root]
        for step in range(draw.randint(1, 12)):
            folder = draw.choice(folders)
            folder.mkdir(parents=True, exist_ok=True)
            what = draw.choice(["file", "folder", "link", "link"])
            if what == "folder":
                folders.append(folder / f"f{step}")
            elif what == "file":
                put(folder, f"{step}.jsonl")
            else:
                (folder / f"l{step}").symlink_to(draw.choice(folders))
        real = sorted(str(path.relative_to(root)) for path in root.glob("**/*.jsonl"))
        put(root, "always.jsonl")
        assert sorted(names(root)[0]) == sorted({*real, "always.jsonl"})
