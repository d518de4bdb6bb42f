"""Each pipeline of a small job as Dataflow would get it; nothing is sent, and no account is needed.

    pip install 'apache-beam[gcp]==2.77.*'
    python benchmarks/dataflow_templates.py

Beam translates each stage's pipeline for Dataflow and writes it into a file instead of sending it. The stage
then runs embedded, since the next one needs its shards. The exit status is 1 where a pipeline cannot be
translated, or asks for an accelerator that it has no use for.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.runner import create_runner

from syllabus.pipeline import Options, prepare
from syllabus.pipeline.runners import run as runners

EMBEDDED = runners.run
FLAGS = (
    "--project=some-project",
    "--region=us-central1",
    "--sdk_container_image=us-docker.pkg.dev/some-project/r/syllabus:0.1.0",
    "--sdk_location=container",
    "--resource_hints=accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver",
    "--resource_hints=min_ram=8GB",
    # Beam writes locally where the endpoint is local.
    "--dataflow_endpoint=http://localhost:1",
    "--no_auth",
)


def translate(options: Options, stage: str, build: Callable[[beam.Pipeline], None], folder: Path) -> None:
    """Print what a stage's pipeline asks Dataflow for."""
    own = runners.pipeline_options(options, stage)
    template = folder / f"{stage}.json"
    own.view_as(GoogleCloudOptions).template_location = str(template)
    with runners.without_log():
        pipeline = beam.Pipeline(create_runner("DataflowRunner"), own)
        build(pipeline)
        pipeline.run()
    proto = beam_runner_api_pb2.Pipeline.FromString((folder / "staging" / "pipeline.pb").read_bytes())
    hints = [
        hint.split(":")[2] for each in proto.components.environments.values() for hint in each.resource_hints
    ]
    job = json.loads(template.read_text())
    image = job["environment"]["workerPools"][0]["sdkHarnessContainerImages"][0]
    process = "one process a core" if image.get("useSingleCorePerContainer") else "one process"
    print(
        f"| {job['name']} | {', '.join(sorted(hints))} | {image['containerImage']} | {process} |", flush=True
    )
    if ("accelerator" in hints) != (stage == runners.ENCODING):
        raise ValueError(f"{stage}: asks for {hints}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="dataflow-") as name:
        folder = Path(name)
        for each in ("source", "staging", "temp"):
            (folder / each).mkdir()
        random = np.random.default_rng(0)
        table = {
            "vector": list(random.standard_normal((600, 16), np.float32)),
            "kind": [f"{i % 3}" for i in range(600)],
        }
        pq.write_table(pa.table(table), folder / "source" / "a.parquet", row_group_size=100)
        places = (f"--temp_location={folder / 'temp'}", f"--staging_location={folder / 'staging'}")
        failures = 0

        def run(options: Options, stage: str, build: Callable[[beam.Pipeline], None]) -> dict[str, int]:
            nonlocal failures
            # In a process of its own: what is built into one pipeline cannot be built into another.
            if not (child := os.fork()):
                try:
                    translate(options, stage, build, folder)
                    os._exit(0)
                except Exception as error:
                    print(f"{stage}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                    os._exit(1)
            failures += os.waitpid(child, 0)[1] != 0
            return EMBEDDED(
                options.model_copy(update={"runner": "FnApiRunner", "runner_options": ()}), stage, build
            )

        runners.run = run
        print("| pipeline | hints | image | workers |")
        print("|---|---|---|---|", flush=True)
        prepare(
            Options(
                source=str(folder / "source"),
                output=str(folder / "m"),
                embedding="vector",
                label="kind",
                runner="DataflowRunner",
                runner_options=(*FLAGS, *places),
            )
        )
    sys.exit(min(failures, 1))


if __name__ == "__main__":
    main()
