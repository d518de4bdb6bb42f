"""Places are tried before hours of work are to be kept there, and nothing stays behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from syllabus.manifests import ManifestError, check_writable


def test_a_place_that_is_not_there_yet_is_tried_and_not_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    (tmp_path / "there").mkdir()
    check_writable(tmp_path / "there")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        line = f"{tmp_path / name / 'm'}: cannot be written to: is no directory: {tmp_path / name}"
        with pytest.raises(ManifestError) as error:
            check_writable(tmp_path / name / "m")
        assert str(error.value) == line


@pytest.mark.parametrize(
    ("number", "line"),
    [(errno.EROFS, "Read-only file system"), (errno.EACCES, "denied"), (errno.ENOSPC, "no space is left")],
)
def test_a_place_that_takes_nothing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, line: str
) -> None:
    def sync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(ManifestError, match=f"^{tmp_path}/m: cannot be written to: .*{line}"):
        check_writable(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk: Any = SimpleNamespace(f_bavail=1000, f_frsize=1000, f_blocks=5000)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    check_writable(tmp_path, 1_000_000)
    with pytest.raises(ManifestError, match=r"has 1.0 MB of space left; at least 2,000.0 GB are needed"):
        check_writable(tmp_path, 2 * 10**12)
    disk.f_blocks = 0  # a filesystem that does not count
    check_writable(tmp_path, 2 * 10**12)


def test_a_filesystem_that_is_none_is_one_line() -> None:
    with pytest.raises(ManifestError, match=r"^no-such-scheme://x/m: cannot be opened: "):
        check_writable("no-such-scheme://x/m")
