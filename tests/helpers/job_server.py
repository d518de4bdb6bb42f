"""A job server in place of a jar: answers as Spark's or Flink's does, and runs the pipelines by itself.

Run as `--job_server_java_launcher`. It appends a line of JSON a pipeline to the file that JOB_SERVER_RECORD
names: the command that started it, the pipeline's options and the environments of its steps.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.runners.portability.local_job_service import BeamJob, LocalJobServicer
from google.protobuf import json_format


class RecordingJobServer(LocalJobServicer):
    """Writes down each pipeline, and runs it in this process."""

    def create_beam_job(self, preparation_id: str, job_name: str, pipeline: Any, options: Any) -> BeamJob:
        environments = pipeline.components.environments.values()
        record = {
            "command": sys.argv[1:],
            "options": {
                name.split(":")[2]: value for name, value in json_format.MessageToDict(options).items()
            },
            "environments": [
                [
                    each.urn,
                    each.payload.decode(),
                    {urn: hint.decode() for urn, hint in each.resource_hints.items()},
                ]
                for each in environments
            ],
        }
        with Path(os.environ["JOB_SERVER_RECORD"]).open("a") as file:
            file.write(json.dumps(record) + "\n")
        for each in environments:
            # There is no engine here that would start a worker.
            each.urn, each.payload = python_urns.EMBEDDED_PYTHON, b""
        return super().create_beam_job(preparation_id, job_name, pipeline, options)


if __name__ == "__main__":
    RecordingJobServer().start_grpc_server(int(sys.argv[sys.argv.index("--job-port") + 1]))
    threading.Event().wait()
