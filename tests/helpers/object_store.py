"""An object store on the loopback address: moto's S3 server, a process of its own."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

START_SECONDS = 60.0


class ObjectStore:
    """A server with one bucket, `bucket`; all is gone when it is closed."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with log.open("wb") as output:
            self._server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self.environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }
        """What a process needs to find the server by `s3://bucket/…` alone."""
        self.query = f"endpoint_override=127.0.0.1:{self.port}&scheme=http"
        """What says the same in a URL."""
        self._wait(log)
        self.filesystem = pafs.S3FileSystem(
            access_key="key", secret_key="secret", region="us-east-1", scheme="http",
            endpoint_override=f"127.0.0.1:{self.port}", allow_bucket_creation=True,
        )  # fmt: skip
        self.filesystem.create_dir("bucket")

    def _wait(self, log: Path) -> None:
        until = time.monotonic() + START_SECONDS
        while self._server.poll() is None and time.monotonic() < until:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.close()
        raise RuntimeError(f"moto's server did not start: {log.read_text(errors='replace')[-500:]}")

    def close(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.wait()

    def copy(self, folder: Path, prefix: str) -> None:
        """Store the files of a local folder under a prefix."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.write(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())

    def write(self, key: str, content: bytes) -> None:
        """Store an object."""
        with self.filesystem.open_output_stream(f"bucket/{key}", compression=None) as stream:
            stream.write(content)

    def read(self, prefix: str) -> dict[str, bytes]:
        """Return the objects under a prefix, by what follows it."""
        selector = pafs.FileSelector(f"bucket/{prefix}", recursive=True, allow_not_found=True)
        found = {}
        for info in self.filesystem.get_file_info(selector):
            if info.type == pafs.FileType.File:
                with self.filesystem.open_input_file(info.path) as file:
                    found[info.path.removeprefix(f"bucket/{prefix}/")] = file.read()
        return found


def parts(files: dict[str, bytes]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return manifest.json and the digests of all parts, both without the names of parts.

    Names differ between filesystems: where a directory cannot be replaced they are made of the content.
    """
    document = json.loads(files["manifest.json"])
    document.pop("document_sha256")  # of the names too
    listed = {each.pop("path") for each in document["files"]}
    assert listed == set(files) - {"manifest.json"}
    return document, sorted(
        (path.rpartition("/")[0], hashlib.sha256(files[path]).hexdigest()) for path in listed
    )


def local_files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a local folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def _object_store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask_cors") is None:
        pytest.skip("moto's server is not installed")
    store = ObjectStore(tmp_path_factory.mktemp("s3") / "server.log")
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def object_store(_object_store_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An S3 server that this process, and those that it starts, find by `s3://bucket/…`."""
    for name, value in _object_store_server.environment.items():
        monkeypatch.setenv(name, value)
    return _object_store_server
