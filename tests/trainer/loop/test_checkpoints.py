"""Files of checkpoints: damage is found, what cannot be read or written is one line, leftovers go."""

from __future__ import annotations

import collections
import fcntl
import hashlib
import io
import os
import pickle
import re
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from syllabus.trainer import TrainerError
from syllabus.trainer.loop import checkpoints
from syllabus.trainer.loop.checkpoint_files import CheckpointFile
from syllabus.trainer.loop.checkpoint_seal import SealingSink, check_seal

WORDS = torch.zeros(624, dtype=torch.int64)
CONTENT = {"weights": torch.arange(500.0), "counts": torch.arange(9), "plain": [1, 2.5, None, "text"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoints.save(tmp_path / "run.pt", CONTENT)
    return tmp_path / "run.pt"


def refused(path, match: str) -> None:
    with pytest.raises(TrainerError, match=match) as caught:
        checkpoints.load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"checkpoint {path}: ")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def the_same(content) -> bool:
    return (
        torch.equal(content["weights"], CONTENT["weights"])
        and torch.equal(content["counts"], CONTENT["counts"])
        and content["plain"] == CONTENT["plain"]
    )


def test_a_flipped_bit_is_found_or_changes_nothing(path):
    whole, random = path.read_bytes(), np.random.default_rng(0)
    found = 0
    for bit in random.choice(8 * len(whole), 150, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            content = checkpoints.load(path)
        except TrainerError:
            found += 1
        else:
            assert the_same(content), bit
    assert found > 75  # most of the file are tensors and values


def test_what_another_program_packs_anew_is_found(path):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
        comment = archive.comment
    assert len(comment) == 64
    tensors = [name for name, content in parts.items() if len(content) > 500 and "data/" in name]
    assert tensors
    for changed in (*tensors, None):
        for kept in (b"", comment):
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in parts.items():
                    archive.writestr(name, content[::-1] if name == changed else content)
                archive.comment = kept
            refused(
                path, f"is not as it was written: {'its SHA-256 differs' if kept else 'it has no SHA-256'}"
            )


def test_every_byte_is_under_the_seal(path):
    whole = path.read_bytes()
    for place in (40, len(whole) // 2, len(whole) - 67, len(whole) - 66, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        refused(path, "is not as it was written|unreadable")
    path.write_bytes(whole + b"more")
    refused(path, "is not as it was written|unreadable")
    path.write_bytes(whole)
    assert the_same(checkpoints.load(path))


def test_a_checkpoint_of_the_version_without_a_seal_is_read_and_its_parts_are_compared(path):
    content = {**checkpoints.load(path), "version": checkpoints.UNSEALED}
    torch.save(content, path)
    assert the_same(checkpoints.load(path))
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: part.header_offset for part in archive.infolist() if part.file_size > 20}
    assert len(parts) >= 3
    for name, start in parts.items():
        damaged = bytearray(whole)
        # A local header has 30 bytes, and the lengths of name and padding in its last four.
        skipped = sum(int.from_bytes(whole[start + at : start + at + 2], "little") for at in (26, 28))
        damaged[start + 30 + skipped + 12] ^= 16
        path.write_bytes(damaged)
        refused(path, rf"unreadable|{re.escape(name)} is not as it was written: its CRC-32 differs")


@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 2], [0, 2, 0, 3], [4, 1], [1, 0, 4]])
def test_a_seal_does_not_depend_on_how_the_bytes_come(sizes):
    content, sink = b"abc" + bytes(2), io.BytesIO()
    sealing = SealingSink(sink)
    for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        assert sealing.write(content[start : start + size]) == size
    sealing.finish()
    digest = hashlib.sha256(b"abc").hexdigest().encode()
    assert sink.getvalue() == b"abc" + bytes([64, 0]) + digest
    assert check_seal(sink)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_one_line(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, r"unreadable \(.+\)")


class Harmful:
    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


def test_foreign_files_are_refused_and_run_nothing(path):
    path.write_text("epoch: 3\n")
    refused(path, "unreadable")
    path.write_bytes(pickle.dumps({"version": 1}))
    refused(path, "unreadable")
    torch.save({"version": 1}, path, _use_new_zipfile_serialization=False)
    refused(path, "unreadable")
    torch.save(torch.zeros(3), path)
    refused(path, "version is None; this code reads 2")
    torch.save({"version": True}, path)
    refused(path, "version is True; this code reads 2")
    torch.save({"version": 1, "model": Harmful()}, path)
    refused(path, "unreadable")
    assert not Harmful.ran


def test_archives_that_would_unpack_to_more_than_there_is_are_refused_before_that(path, monkeypatch):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    refused(path, "is compressed, which no checkpoint is")
    checkpoints.save(path, CONTENT)
    monkeypatch.setattr(checkpoints, "_memory", lambda: 1000)
    refused(path, r"holds [\d,]+ bytes; this machine has 1,000 bytes of memory")
    with path.open("wb") as file:
        file.truncate(1 << 40)
    refused(path, "unreadable")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "pipe", "is a pipe, a socket or a device; give the path of a file")
    refused(tmp_path / "folder", "is a folder; give the path of a file")
    refused(Path("/dev/null"), "is a pipe, a socket or a device")
    (tmp_path / "text").touch()
    refused(tmp_path / "text" / "run.pt", "Not a directory")
    with pytest.raises(TrainerError, match="checkpoint=3 is a int; expected a path"):
        checkpoints.load(3)
    assert checkpoints.load(tmp_path / "new" / "run.pt") is None


def test_a_folder_without_permission_is_said_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_arguments: False)  # root may write anywhere
    refused(tmp_path / "run.pt", "no permission to write")


def test_a_disk_that_takes_no_more_leaves_the_checkpoint_of_before(path):
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(TrainerError, match=r"run\.pt: cannot be written \(.+\)$") as caught:
            checkpoints.save(path, {**CONTENT, "more": torch.zeros(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert names_in(path.parent) == ["run.pt"]


def test_it_is_on_the_disk_before_it_has_its_name(path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda _file: done.append("fsync"))
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (done.append("replace"), real(self, to))[1])
    checkpoints.save(path, CONTENT)
    assert done == ["fsync", "replace"]


def test_what_killed_runs_left_is_swept_and_nothing_else(path):
    folder = path.parent
    killed = folder / ".run.pt.0123456789ab.tmp"
    others = [".run2.pt.0123456789ab.tmp", ".run.pt.mine.tmp", "run.pt.0123456789ab.tmp", ".run.pt.tmp"]
    alive = folder / ".run.pt.ba9876543210.tmp"
    for place in (killed, alive, *(folder / name for name in others)):
        place.touch()
    with alive.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert the_same(checkpoints.load(path))
        assert names_in(folder) == sorted(["run.pt", alive.name, *others])
    checkpoints.load(path)
    assert names_in(folder) == sorted(["run.pt", *others])


def test_a_sweep_while_another_run_writes_does_it_no_harm(path):
    with CheckpointFile(path).writing() as file:
        file.write(b"half")
        assert CheckpointFile(path).sweep() == 0
        assert the_same(checkpoints.load(path))
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"


def test_a_file_swept_before_it_was_locked_is_begun_again(path, monkeypatch):
    real, calls = fcntl.flock, []

    def late(file, how):
        if not calls:
            calls.append(file.name)
            Path(file.name).unlink()
        return real(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    checkpoints.save(path, CONTENT)
    assert len(calls) == 1
    assert the_same(checkpoints.load(path))


def test_scalars_of_numpy_become_plain_and_what_could_not_be_read_is_not_written(path):
    group = {"lr": np.float64(0.1), "betas": (np.float32(0.5), 0.9), np.int64(3): [np.bool_(True), None]}
    parameters = collections.OrderedDict(w=torch.ones(2))
    checkpoints.save(path, {"optimizer": {"param_groups": [group]}, "model": parameters})
    assert torch.load(path, weights_only=True)["optimizer"]["param_groups"] == [
        {"lr": 0.1, "betas": (0.5, 0.9), 3: [True, None]}
    ]
    assert type(checkpoints.load(path)["optimizer"]["param_groups"][0]["lr"]) is float
    assert type(checkpoints.load(path)["model"]) is collections.OrderedDict
    assert checkpoints._plain("", parameters) is parameters
    assert type(group["lr"]) is np.float64  # what is given stays as it was
    checkpoints.save(path, {"seen": {np.int64(3), 2}, "state": 2**2039 - 1})
    assert checkpoints.load(path)["seen"] == {2, 3}
    before = path.read_bytes()
    for value, line in (
        ({"step": np.arange(3)}, r"optimizer\.state\.step is a ndarray; a checkpoint holds tensors and"),
        ([1, Path("x")], r"optimizer\.state\[1\] is a PosixPath; a checkpoint"),
        (collections.defaultdict(int), r"optimizer\.state is a defaultdict; a checkpoint"),
        (
            torch.ones(2).as_subclass(type("Kind", (torch.Tensor,), {})),
            r"optimizer\.state is a Kind; a checkpoint",
        ),
        ([2**2039], r"optimizer\.state\[0\] has 2,040 bits; at most 2,039 are read"),
    ):
        with pytest.raises(TrainerError, match=rf"run\.pt: {line}"):
            checkpoints.save(path, {"optimizer": {"state": value}})
        assert path.read_bytes() == before
    assert names_in(path.parent) == ["run.pt"]


def test_checksums_are_written_whatever_torch_is_set_to(path):
    torch.serialization.set_crc32_options(False)
    try:
        checkpoints.save(path, CONTENT)
        assert not torch.serialization.get_crc32_options()
    finally:
        torch.serialization.set_crc32_options(True)
    assert the_same(checkpoints.load(path))


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("torch", torch.zeros(5056, dtype=torch.uint8), "random is no state of a generator"),
        ("torch", torch.zeros(5, dtype=torch.uint8), "random is no state of a generator"),
        ("torch", None, "random.torch is a NoneType; expected torch.uint8 of shape"),
        ("numpy", ["MT19937", WORDS, 10**6, 0, 0.0], r"random\.numpy\[2\]=1000000"),
        ("numpy", ["other", WORDS, 0, 0, 0.0], "random is no state"),
        ("python", [3, [1] * 624 + [10**6], None], r"random is no state of a generator \(invalid state\)"),
        ("python", [3, [1], None], "random is no state of a generator"),
        ("python", [2, [1] * 625, None], r"random\.python\[0\]=2 is outside \[3, 3\]"),
    ],
)  # fmt: skip
def test_a_state_of_random_generators_is_tried_before_it_is_set(path, place, value, line):
    state = {**checkpoints.load(path)["random"], place: value}
    before = torch.get_rng_state()
    with pytest.raises(TrainerError, match=line):
        checkpoints.check_random("it", "random", state)
    assert torch.equal(before, torch.get_rng_state())
