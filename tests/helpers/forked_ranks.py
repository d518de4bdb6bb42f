"""Real processes over gloo for the tests: one interpreter that has loaded torch forks them, many times.

`Ranks` is the tests' side: `with Ranks() as ranks: ranks.run(case, world, ...)`. A case is the name of a
function in a module beside this one, called as (rank, world, **arguments), all of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

LIMIT = 60.0  # seconds that the processes of a case may take together


class Ranks:
    """The interpreter that forks; asked for one case after the other."""

    def __enter__(self) -> Ranks:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [sys.executable, __file__], text=True, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=LIMIT)

    def run(self, case: str, world: int, **arguments: Any) -> list[dict[str, Any]]:
        """Return, rank by rank, {"value": …} or {"error": text}, with "exit" and "seconds".

        Args:
            case: "module.function".
            world: W.
            arguments: of the function; `timeout`, of the process group in seconds, is taken out.
        """
        self._process.stdin.write(json.dumps([case, world, arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def values(self, case: str, world: int, **arguments: Any) -> list[Any]:
        """Return what each rank returned."""
        found = self.run(case, world, **arguments)
        assert all("value" in one for one in found), found
        return [one["value"] for one in found]

    def errors(self, case: str, world: int, **arguments: Any) -> list[str]:
        """Return the error of each rank."""
        found = self.run(case, world, **arguments)
        assert all("error" in one for one in found), found
        return [one["error"] for one in found]


def _one(case: str, rank: int, world: int, port: int, arguments: dict[str, Any], output: Path) -> None:
    import torch

    torch.set_num_threads(1)
    module, _, function = case.partition(".")
    timeout = timedelta(seconds=arguments.pop("timeout", 30))
    started = time.monotonic()
    try:
        if world > 1:
            address = f"tcp://127.0.0.1:{port}"
            torch.distributed.init_process_group(
                "gloo", init_method=address, rank=rank, world_size=world, timeout=timeout
            )
        value = getattr(importlib.import_module(module), function)(rank, world, **arguments)
        found = {"value": value}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    found["seconds"] = time.monotonic() - started
    output.write_text(json.dumps(found))


def _fork(case: str, world: int, arguments: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(world):
        child = os.fork()
        if not child:
            try:
                _one(case, rank, world, port, arguments, folder / str(rank))
            finally:
                os._exit(0)
        children.append(child)
    codes: dict[int, int | None] = dict.fromkeys(children)
    deadline = time.monotonic() + LIMIT
    while None in codes.values():
        for child in children:
            if codes[child] is None:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    codes[child] = os.waitstatus_to_exitcode(status)
                elif time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    found = []
    for rank, code in enumerate(codes.values()):
        written = folder / str(rank)
        found.append({**(json.loads(written.read_text()) if written.exists() else {}), "exit": code})
        written.unlink(missing_ok=True)
    return found


def main() -> None:
    # What is forked has torch already, and the compiled loops.
    import grab_ranks

    grab_ranks.warm_up()

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="syllabus-ranks-") as folder:
        for line in sys.stdin:
            case, world, arguments = json.loads(line)
            print(json.dumps(_fork(case, world, arguments, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
