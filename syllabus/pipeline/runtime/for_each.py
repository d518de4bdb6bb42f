"""Elements of work, each done by one worker."""

from __future__ import annotations

from typing import Any

import apache_beam as beam


class ForEach(beam.PTransform):
    """Gives each element of work to a DoFn, on whatever worker is free.

    `beside` names a second output of the DoFn: both are then given, by (`MAIN`, `beside`).
    """

    MAIN = "main"

    def __init__(
        self,
        elements: list[Any],
        work: beam.DoFn,
        *side_inputs: beam.pvalue.AsSideInput,
        beside: str | None = None,
    ) -> None:
        super().__init__()
        self.elements, self.work = elements, beam.ParDo(work, *side_inputs)
        if beside is not None:
            self.work = self.work.with_outputs(beside, main=self.MAIN)

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Spread the elements over the workers."""
        elements = pipeline | beam.Create(self.elements, reshuffle=False)
        if len(self.elements) > 1:
            elements |= beam.Reshuffle()  # a step that takes Beam longer to build than a small job to do
        return elements | self.work
