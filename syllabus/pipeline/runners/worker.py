"""`syllabus-worker`: starts one Python worker for an engine that has no containers.

Beam's PROCESS environment runs a command on each machine of the cluster, and that command has to become
the SDK worker. Beam ships the one it uses itself only inside its container images; this is the same
contract (https://s.apache.org/beam-fn-api-container-contract), less the installation of packages: the
virtual environment that holds this script must already hold whatever the job imports.

    --environment_type=PROCESS '--environment_config={"command": "/opt/syllabus/bin/syllabus-worker"}'

The harness runs inside this process instead of a second interpreter: Beam is imported once for both
steps, and the process that the engine stops is the one that works.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

import grpc
from apache_beam.portability.api import beam_provision_api_pb2 as provision_pb2
from apache_beam.portability.api import beam_provision_api_pb2_grpc as provision_grpc
from apache_beam.portability.api import endpoints_pb2
from google.protobuf import json_format, text_format

ProvisionInfo = provision_pb2.ProvisionInfo

PROVISION_SECONDS = 60.0
"""Limit of the runner's answer to the first question: it listens before it starts a worker."""

ORPHAN_SECONDS = 1.0
"""Interval at which the worker looks whether the process that started it is still there."""

ORPHAN_EXIT = 3
"""Exit status of a worker whose engine is gone."""


class WorkerError(RuntimeError):
    """The worker cannot start; one line that names the endpoint or the option."""


def provision_info(endpoint: str, worker_id: str, timeout: float = PROVISION_SECONDS) -> ProvisionInfo:
    """Return the runner's `ProvisionInfo` for this worker: options, endpoints, capabilities.

    Args:
      endpoint: `host:port` of the runner's provision service.
      worker_id: the identity the runner gave; runners look it up in the call's metadata.
      timeout: seconds.

    Raises:
      WorkerError: nobody answers at the endpoint, or not in time.
    """
    # Options may hold whole argument lists: no bound on the size of the answer.
    with grpc.insecure_channel(endpoint, options=[("grpc.max_receive_message_length", -1)]) as channel:
        try:
            response = provision_grpc.ProvisionServiceStub(channel).GetProvisionInfo(
                provision_pb2.GetProvisionInfoRequest(), timeout=timeout, metadata=[("worker_id", worker_id)]
            )
        except grpc.RpcError as error:
            raise WorkerError(
                f"provision endpoint {endpoint!r} did not answer worker {worker_id!r} (limit {timeout:g} s):"
                f" {error.code().name}, {error.details()}"
            ) from None
    return response.info


def environment(worker_id: str, info: ProvisionInfo, endpoints: Mapping[str, str | None]) -> dict[str, str]:
    """Return the environment variables from which Beam's `sdk_worker_main` takes its orders.

    Args:
      worker_id: the identity the runner gave.
      info: the runner's `ProvisionInfo`.
      endpoints: "control" and "logging" as given on the command line, `None` where absent. What the
        provision service says comes first, as in Beam's own boot program; the options are the older way.

    Raises:
      WorkerError: neither names a control endpoint.
    """
    variables = {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    for name in ("control", "logging", "status"):
        descriptor = getattr(info, f"{name}_endpoint")
        if not descriptor.url:
            descriptor = endpoints_pb2.ApiServiceDescriptor(url=endpoints.get(name) or "")
        if descriptor.url:
            variable = f"{name.upper()}_API_SERVICE_DESCRIPTOR"
            variables[variable] = text_format.MessageToString(descriptor, as_one_line=True)
    if "CONTROL_API_SERVICE_DESCRIPTOR" not in variables:
        raise WorkerError(f"worker {worker_id!r} has no control endpoint: give --control_endpoint")
    return variables


def main(argv: Sequence[str] | None = None) -> int:
    """Run one worker until the runner has no more work; the exit status."""
    parent = os.getppid()
    arguments = _parser().parse_args(argv)
    try:
        info = provision_info(arguments.provision_endpoint, arguments.id)
        given = {"control": arguments.control_endpoint, "logging": arguments.logging_endpoint}
        variables = environment(arguments.id, info, given)
    except WorkerError as error:
        # Flink sends what a worker prints to /dev/null unless its log level is DEBUG.
        print(f"syllabus-worker: {error}", file=sys.stderr)
        return 1
    os.environ.update(variables)
    threading.Thread(target=_leave_with, args=(parent,), name="orphan-watch", daemon=True).start()

    # Not above: it configures logging and plugins, which `--help` and a failed start have no use for.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
    return 0


def _leave_with(parent: int) -> NoReturn:
    """End this process, in the middle of whatever it does, once `parent` is no longer its parent.

    A TaskManager killed with -9 cannot stop its worker. Beam's harness then leaves by itself where it can,
    but it waits a minute for a control channel that is not there yet, and for any thread pool in use below
    a DoFn to finish (measured: all the 20 s that its task took), while the engine repeats the bundle
    elsewhere and needs the memory and the core. Leaving in mid-work is safe: nothing unfinished is visible.
    The parent's id is polled because Linux's signal for this (PR_SET_PDEATHSIG) fires when the *thread*
    that forked ends, and the JVM forks from a task's thread.
    """
    while os.getppid() == parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(ORPHAN_EXIT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="syllabus-worker",
        description="Start one Beam SDK worker: the command of the PROCESS environment. Engines call it.",
        allow_abbrev=False,
    )
    # Prism 2.77 starts processes without a shell, and yet puts the identity between single quotes.
    parser.add_argument(
        "--id",
        required=True,
        type=lambda text: text.strip("'"),
        help="the worker's identity, given by the engine",
    )
    parser.add_argument("--provision_endpoint", required=True, metavar="HOST:PORT")
    parser.add_argument("--control_endpoint", metavar="HOST:PORT")
    parser.add_argument("--logging_endpoint", metavar="HOST:PORT")
    parser.add_argument("--artifact_endpoint", metavar="HOST:PORT", help="accepted; nothing is installed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
