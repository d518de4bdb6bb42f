"""A small pipeline that shows where its pieces ran, for the tests of the worker and of the fixtures.

Run as a program: `python toy_job.py OUTPUT SECONDS [Beam options]`. One JSON line an element is written
into OUTPUT, under a name that depends on the element alone. Workers import this module by its name.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

ELEMENTS = 24


class Square(beam.DoFn):
    """Square a number slowly, and write down who did it."""

    def __init__(self, output: str, seconds: float):
        """Write into the directory `output`; take `seconds` an element."""
        self.output = Path(output)
        self.seconds = seconds

    def process(self, number: int) -> Iterator[tuple[int, int]]:
        time.sleep(self.seconds)
        record = {"square": number**2, "program": sys.argv[0]}
        partial = self.output / f".{number}.{os.getpid()}"
        partial.write_text(json.dumps(record))
        partial.replace(self.output / f"{number}.json")
        yield number % 2, number**2


def write_sum(pair: tuple[int, Iterable[int]], output: str) -> None:
    parity, squares = pair
    Path(output, f"sum-{parity}.txt").write_text(str(sum(squares)))


def main(output: str, seconds: str, *options: str) -> None:
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        (
            pipeline
            | beam.Create(range(ELEMENTS))
            | beam.Reshuffle()
            | beam.ParDo(Square(output, float(seconds)))
            | beam.GroupByKey()
            | beam.Map(write_sum, output=output)
        )


if __name__ == "__main__":
    # By its own name and not as __main__: functions of __main__ travel by value, and would hide that a
    # worker cannot import what the job needs.
    import toy_job

    toy_job.main(*sys.argv[1:])
