"""Runs of a pipeline on a Beam runner, and the check of the runner's name and options.

Beam takes more than a second to import, so it is imported where a pipeline is run: a misspelt runner is
told before.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from syllabus.manifests.errors import first_line
from syllabus.pipeline.errors import JobError, ShardError, UnitError, UserError, suggestion
from syllabus.pipeline.options import Options
from syllabus.pipeline.work_directory import WorkDirectory

if TYPE_CHECKING:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

EMBEDDED = "FnApiRunner"
ENCODING, SEARCHING = "embed", "neighbours"
"""The stages whose workers may have use for an accelerator."""
PORTABLE = ("PrismRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner")
FILES = ("--flink_job_server_jar", "--spark_job_server_jar", "--prism_location")
ADDRESSES = ("--flink_master", "--job_endpoint")
INSIDE = ("[local]", "[auto]")
"""What Beam takes for a Flink that it starts itself."""
CONNECT_SECONDS = 10.0
FAILURE = "failure.txt"
REFUSED = {
    "DaskRunner": "it silently loses data: what a bundle's end emits, and all but the last of several sinks",
    "DirectRunner": "it looks for another runner on the network first; the embedded one is FnApiRunner",
}


def check_runner(options: Options) -> None:
    """Refuse a runner that is unknown or known to be wrong."""
    name = options.runner.rpartition(".")[2]
    for refused, reason in REFUSED.items():
        if name.lower() == refused.lower():
            raise UserError(f"runner={options.runner!r} is refused: {reason}")
    if name not in (EMBEDDED, *PORTABLE):
        raise UserError(suggestion("runner", options.runner, (EMBEDDED, *PORTABLE)))
    if name != EMBEDDED and options.workers > 1:
        raise UserError(f"workers={options.workers}: is for {EMBEDDED}; {name} has its own options after --")
    if name == EMBEDDED and options.runner_options:
        raise UserError(f"{options.runner_options[0]!r}: {EMBEDDED} takes no options after --; use --workers")
    if name == "PortableRunner" and not any(f.startswith("--job_endpoint") for f in options.runner_options):
        raise UserError(f"runner={options.runner!r}: needs --job_endpoint=HOST:PORT after --")
    _check_runner_options(options.runner_options)


def _check_runner_options(flags: tuple[str, ...]) -> None:
    """Refuse what Beam passes over (a name it does not know) or asks the network for again and again."""
    if not flags:
        return
    known = _beam_options()
    for flag, following in zip_longest(flags, flags[1:], fillvalue=""):
        name, _, value = flag.partition("=")
        if not name.startswith("--"):
            if value and f"--{name}" in known:
                raise UserError(f"runner option {flag!r}: is --{flag}")
            continue
        # A runner may have options of its own, which Beam does not know: only a near miss is a mistake.
        if name not in known and difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            raise UserError(suggestion("runner option", name, known))
        if name in FILES and "://" not in (path := value or following) and not Path(path).is_file():
            raise UserError(f"{name}={path}: no such file")
        if name in ADDRESSES:
            _check_address(name, value or following)


def _beam_options() -> set[str]:
    """The names of all options that Beam knows, of whatever runner."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    return {name for action in parser._actions for name in action.option_strings}


def _check_address(name: str, address: str) -> None:
    """Refuse a place where nobody listens, which would be found out when all the source is read.

    What names no port is left to Beam.
    """
    if address in INSIDE:
        return
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        if place.port is not None:
            socket.create_connection((place.hostname or "", place.port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:  # ValueError: of a port that is no number
        raise UserError(f"{name}={address}: cannot be reached: {first_line(error)}") from None


def run(options: Options, stage: str, build: Callable[[beam.Pipeline], None]) -> dict[str, int]:
    """Build and run one pipeline to its end; return its counters."""
    import apache_beam as beam
    from apache_beam.runners.runner import create_runner

    try:
        with without_log(), _without_the_readers_traceback():
            runner, own = create_runner(options.runner), pipeline_options(options, stage)
            pipeline = beam.Pipeline(runner=runner, options=own)
            build(pipeline)
            result = pipeline.run()
            state = result.wait_until_finish()
    except Exception as error:  # a runner may raise anything; the work done so far is kept
        raise _failure(options, stage, error) from error
    if state is not None and state != "DONE":
        raise JobError(
            f"{stage}: {options.runner} ended in state {state}; finished shards are kept in {options.work}"
        )
    return _counters(result)


def pipeline_options(options: Options, stage: str) -> PipelineOptions:
    """Return Beam's options of a stage: an accelerator is asked for where a model encodes.

    So it is where neighbours are searched, if `device` names one: a worker without would refuse it.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    flags = list(options.runner_options)
    if options.runner == EMBEDDED and options.workers > 1:
        # Threads: encoders and products release the interpreter's lock, and a process costs seconds.
        flags += ["--direct_running_mode=multi_threading", f"--direct_num_workers={options.workers}"]
    own = PipelineOptions(flags, job_name=f"syllabus-{stage}")
    standard = own.view_as(StandardOptions)
    named = options.device not in (None, "cpu")
    if stage != ENCODING and not (stage == SEARCHING and named) and standard.resource_hints:
        standard.resource_hints = [
            each for each in standard.resource_hints if not each.startswith("accelerator")
        ]
    return own


def _failure(options: Options, stage: str, error: Exception) -> BaseException:
    """The line that says what went wrong in a worker, from what its runner made of it."""
    import grpc

    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    line = next(reversed(str(cause).strip().splitlines()), "").partition(" [while running")[0]
    # Workers elsewhere send a traceback as text; its last line is "package.Error: message".
    sent = re.fullmatch(r"(?:[\w.]+\.)?(\w+(?:Error|Exception)): (.*)", line)
    name, message = sent.groups() if sent else (type(cause).__name__, line)
    if "KeyboardInterrupt" in (name, message):
        return KeyboardInterrupt()
    for kind in (UserError, ShardError, JobError):
        if name == kind.__name__:
            return kind(message)
    whole = str(error) or "".join(traceback.format_exception(error))
    WorkDirectory(options.work).store.write(FAILURE, whole.encode())
    kept = f"finished shards are kept in {options.work}, with the whole error in {FAILURE}"
    if isinstance(cause, grpc.Call):  # it knows its status, which RpcError does not
        where = f"{options.runner}: the job server is lost ({cause.code().name}: {cause.details()})"
    elif isinstance(cause, grpc.FutureTimeoutError):
        where = f"{options.runner}: no answer of the job server"
    else:
        where = message if name == UnitError.__name__ else f"{name}: {message}"
    return JobError(f"{stage}: {where}; {kept}")


@contextmanager
def _without_the_readers_traceback() -> Iterator[None]:
    """Silence the thread of Beam's that reads a job's messages: it dies of a lost server, as the job does."""
    reader, before = "wait_until_finish_read", threading.excepthook

    def passed_over(failed: threading.ExceptHookArgs) -> None:
        if failed.thread is None or failed.thread.name != reader:
            before(failed)

    threading.excepthook = passed_over
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name == reader:
                thread.join(1.0)
        threading.excepthook = before


def _counters(result: Any) -> dict[str, int]:
    counters: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == "syllabus":
            name = counter.key.metric.name
            counters[name] = counters.get(name, 0) + (counter.committed or counter.attempted or 0)
    return counters


@contextmanager
def without_log() -> Iterator[None]:
    """Silence the log: Beam, on import too, and its clients tell it what is not for the user.

    So do workers the traceback of what is said in one line.
    """
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
