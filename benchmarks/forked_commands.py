"""The command line in forks of a process that has one thread and everything imported: a fifth of the cost.

A fork runs the entry of the console script with arguments of its own, in a process group, a directory and
with files for its output of its own, and ends or is killed as any process. What a command imports and which
compiled loops it loads is taken from a rehearsal, and done here once for all.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from syllabus.pipeline.command_line.entry import command


def threads() -> list[str]:
    """The names of this process's threads, those that Python does not know as well."""
    tasks = sorted(Path("/proc/self/task").iterdir())
    return [(task / "comm").read_text().strip() for task in tasks]


def require_one_thread() -> None:
    """Raise RuntimeError where a fork of this process would lose a thread."""
    if len(threads()) != 1 or threading.active_count() != 1:
        raise RuntimeError(f"there are threads: {threads()}, {threading.enumerate()}")


def start(arguments: list[str], folder: Path, before: Callable[[], None] | None = None) -> int:
    """Fork a process that runs ``syllabus`` with these arguments in a folder; return its id.

    Args:
      arguments: of the command.
      folder: where it runs; its output goes to `folder`.out beside it.
      before: called there first.
    """
    require_one_thread()
    if child := os.fork():
        return child
    status = 70
    try:
        _enter(folder)
        if before is not None:
            before()
        sys.argv = ["syllabus", *arguments]
        status = command()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _enter(folder: Path) -> None:
    os.setpgid(0, 0)
    os.chdir(folder)
    file = os.open(folder.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    # Python's own objects may be others than those of the process: a server's have no terminal.
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))


def wait(child: int) -> int:
    """Return the exit status of a process, or minus the signal that ended it; end what it began."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return status


def kill_after(child: int, seconds: float, cpu: bool) -> int:
    """Kill a process once it has taken so many seconds, of its CPU or of a clock; return its status.

    Seconds of CPU are the same moment whatever else the machine does.
    """
    clock = ~child << 3 | 2 if cpu else time.CLOCK_MONOTONIC
    until = time.clock_gettime(clock) + seconds if not cpu else seconds
    while time.clock_gettime(clock) < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return wait(child)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return wait(child)


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fork and return its result, of JSON; raise RuntimeError where it raises."""
    require_one_thread()
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = {"result": function(*arguments)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        with os.fdopen(sender, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as file:
        text = file.read()
    os.waitpid(child, 0)
    answer = json.loads(text or '{"error": "died"}')
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["result"]


def rehearse(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function once in a fork, and load here what it loaded."""
    modules, loops = call(_rehearsed, function, *arguments)
    for name in modules:
        with suppress(Exception):  # some are made by others, not imported
            importlib.import_module(name)
    dispatchers = _dispatchers()
    for name, count in loops.items():
        for signature in dispatchers[name]._cache._cache_file._load_index() if count else ():
            dispatchers[name].compile(signature[0])
    require_one_thread()
    gc.collect()
    gc.freeze()  # else the collector of every fork copies the pages of all objects


def run(arguments: list[str], folder: Path) -> None:
    """Run a command in this process; raise RuntimeError where its status is not 0."""
    _enter(folder)
    sys.argv = ["syllabus", *arguments]
    if code := command():
        raise RuntimeError(f"the command ended with {code}")


def _rehearsed(function: Callable[..., Any], *arguments: Any) -> tuple[list[str], dict[str, int]]:
    known = set(sys.modules)
    function(*arguments)
    loops = {name: len(each.overloads) for name, each in _dispatchers().items()}
    return [name for name in sys.modules if name not in known], loops


def _dispatchers() -> dict[str, Any]:
    """Every compiled loop of this project, by its name."""
    from numba.core.dispatcher import Dispatcher

    found = (each for each in gc.get_objects() if isinstance(each, Dispatcher))
    ours = {f"{each.py_func.__module__}.{each.py_func.__qualname__}": each for each in found}
    return {name: each for name, each in ours.items() if name.startswith("syllabus.")}
