import json
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
import toy_job
from apache_beam.portability.api import beam_fn_api_pb2_grpc as fn_grpc
from apache_beam.portability.api import beam_provision_api_pb2 as provision_pb2
from apache_beam.portability.api import beam_provision_api_pb2_grpc as provision_grpc
from apache_beam.runners.worker import sdk_worker_main
from engines import PROCESS_WORKERS, WORKER, run_job
from google.protobuf import struct_pb2

from syllabus.pipeline.runners import worker

SECONDS = 300.0  # bounds a failure: what passes waits as long as a process takes to start


class FakeRunner(provision_grpc.ProvisionServiceServicer, fn_grpc.BeamFnControlServicer):
    """What a worker meets of a runner when it starts; it has no work to give."""

    def __init__(self) -> None:
        self.asked: queue.Queue[str] = queue.Queue()
        self.connected: queue.Queue[str] = queue.Queue()
        self.left: queue.Queue[str] = queue.Queue()
        self.dismissed = False
        self.silent = False

    def GetProvisionInfo(self, _request, context):
        self.asked.put(_worker_id(context))
        while self.silent and context.is_active():
            time.sleep(0.05)
        return provision_pb2.GetProvisionInfoResponse(info=_info())

    def Control(self, _responses, context):
        self.connected.put(_worker_id(context))
        while context.is_active() and not self.dismissed:
            time.sleep(0.05)
        self.left.put(_worker_id(context))
        yield from ()


@pytest.fixture
def runner() -> Iterator[tuple[FakeRunner, list[str]]]:
    """A runner, and the command of a worker for it."""
    fake = FakeRunner()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    provision_grpc.add_ProvisionServiceServicer_to_server(fake, server)
    fn_grpc.add_BeamFnControlServicer_to_server(fake, server)
    address = f"localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    yield fake, [str(WORKER), "--id=w-1", f"--provision_endpoint={address}", f"--control_endpoint={address}"]
    fake.dismissed = True
    server.stop(0).wait()


def test_a_worker_asks_and_connects_under_its_identity_and_leaves_when_dismissed(runner):
    fake, command = runner
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert fake.asked.get(timeout=SECONDS) == "w-1"
        assert fake.connected.get(timeout=SECONDS) == "w-1"
        fake.dismissed = True
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors.decode()


def test_a_worker_whose_engine_was_killed_leaves_by_itself(runner):
    # The control channel stays open here, so nothing but the engine's death can be the reason.
    fake, command = runner
    engine = "import subprocess, sys; subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL)"
    with subprocess.Popen([sys.executable, "-c", engine, *command]) as process:
        fake.connected.get(timeout=SECONDS)
        with pytest.raises(queue.Empty):
            fake.left.get(timeout=2 * worker.ORPHAN_SECONDS)
        process.kill()
    assert fake.left.get(timeout=SECONDS) == "w-1"


def test_the_harness_reads_back_the_options_and_endpoints_it_is_given():
    variables = worker.environment("w-1", _info(), {"control": "c:1", "logging": "l:2"})
    assert sdk_worker_main._load_pipeline_options(variables["PIPELINE_OPTIONS"]) == {
        "job_name": "toy",
        "sizes": [1.0, 2.0],
    }
    assert variables["RUNNER_CAPABILITIES"].split() == ["beam:protocol:a:v1", "beam:protocol:b:v1"]
    assert variables["CONTROL_API_SERVICE_DESCRIPTOR"] == 'url: "c:1"'
    assert variables["LOGGING_API_SERVICE_DESCRIPTOR"] == 'url: "l:2"'
    assert "STATUS_API_SERVICE_DESCRIPTOR" not in variables


def test_what_the_provision_service_says_comes_before_the_command_line():
    info = _info()
    info.control_endpoint.url = "c:9"
    info.status_endpoint.url = "s:9"
    variables = worker.environment("w-1", info, {"control": "c:1", "logging": None})
    assert variables["CONTROL_API_SERVICE_DESCRIPTOR"] == 'url: "c:9"'
    assert variables["STATUS_API_SERVICE_DESCRIPTOR"] == 'url: "s:9"'
    assert "LOGGING_API_SERVICE_DESCRIPTOR" not in variables


def test_a_worker_without_a_control_endpoint_is_an_error_that_names_it():
    with pytest.raises(worker.WorkerError, match=r"'w-1' has no control endpoint: give --control_endpoint"):
        worker.environment("w-1", _info(), {"control": None, "logging": "l:2"})


def test_nobody_at_the_provision_endpoint_is_one_line_that_names_it(capsys):
    assert worker.main(["--id=w-1", "--provision_endpoint=localhost:1"]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("syllabus-worker: provision endpoint 'localhost:1' did not answer worker 'w-1'")
    assert "UNAVAILABLE" in errors
    assert errors.count("\n") == 1


def test_a_runner_that_does_not_answer_in_time_is_an_error_with_the_limit(runner):
    fake, command = runner
    fake.silent = True
    address = command[2].partition("=")[2]
    with pytest.raises(worker.WorkerError, match=r"\(limit 0.2 s\): DEADLINE_EXCEEDED"):
        worker.provision_info(address, "w-1", timeout=0.2)


def test_the_identity_is_taken_out_of_the_quotes_that_prism_puts_around_it():
    arguments = ["--id='job-001[job]_env'", "--provision_endpoint=localhost:1"]
    assert worker._parser().parse_args(arguments).id == "job-001[job]_env"


def test_a_missing_identity_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        worker.main(["--provision_endpoint=localhost:1"])
    assert "required: --id" in capsys.readouterr().err


@pytest.mark.engine
def test_prism_starts_workers_by_the_command(prism, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    job = [sys.executable, toy_job.__file__, str(output), "0"]
    options = ["--runner=PrismRunner", f"--prism_location={prism}", *PROCESS_WORKERS]
    run_job([*job, *options], tmp_path / "job.log", SECONDS)
    records = [json.loads(path.read_text()) for path in output.glob("*.json")]
    squares = [number**2 for number in range(toy_job.ELEMENTS)]
    assert sorted(record["square"] for record in records) == squares
    for parity in (0, 1):
        assert (output / f"sum-{parity}.txt").read_text() == str(sum(squares[parity::2]))
    assert {record["program"] for record in records} == {str(WORKER)}


def _info() -> provision_pb2.ProvisionInfo:
    options = struct_pb2.Struct()
    options.update({"beam:option:job_name:v1": "toy", "beam:option:sizes:v1": [1, 2]})
    return provision_pb2.ProvisionInfo(
        pipeline_options=options, runner_capabilities=["beam:protocol:a:v1", "beam:protocol:b:v1"]
    )


def _worker_id(context: grpc.ServicerContext) -> str:
    return str(dict(context.invocation_metadata())["worker_id"])
