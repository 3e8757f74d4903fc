"""The input pipeline alone: source, crop, damage, batch; nothing waits for a device."""

import time

from taskfusion_jax.benchmark import timing
from taskfusion_jax.data.pipeline import Rows, train_batches
from taskfusion_jax.data.sources import build_source
from taskfusion_jax.errors import UserError
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stage_rows import stage_rows
from taskfusion_jax.stages import Stage, turns


class Pipeline:
    """Training batches of one stage, as fast as they come.

    Attributes:
      images: per batch.
      workers: processes that prepare batches, or where there are none, threads.
      kind: "processes" or "threads".
      source: name of the data source.
      note: what a reader should know, such as that another source stands in.
    """

    def __init__(self, experiment: Experiment, stage: Stage):
        """Where the config's data is not at hand, embedded scenes stand in."""
        config = experiment.config
        tasks = turns(stage, experiment.tasks)
        data = experiment.data(tasks[0]).copy_and_resolve_references()
        self.note, self.source = "", data.source
        try:
            rows = stage_rows(experiment, stage)
        except UserError as error:
            self.note, self.source = f"scenes stand in for {self.source} ({error})", "scenes"
            data.source = "scenes"
            rows = [Rows(build_source(data, "train", config.seed), tuple(tasks), data)]
        groups = experiment.groups
        self.images = groups * len(tasks)
        self.workers = data.workers or data.threads
        # Each process keeps examples ahead, and a few batches of them.
        self._prepared = 1 + 2 * max(1, data.workers) * (1 + data.prefetch // self.images)
        self.kind = "processes" if data.workers else "threads"
        self._batches = train_batches(rows, groups=groups, seed=config.seed, start=0)

    def measure(self, repeats: int) -> tuple[float, ...]:
        """Seconds per batch in each of `repeats` blocks.

        The blocks follow one another without a pause, in which batches would pile up; those that
        were prepared before anybody asked are drawn first and do not count.
        """
        for _ in range(self._prepared):
            next(self._batches)
        return tuple(self._block() for _ in range(repeats))

    def _block(self) -> float:
        """Draws batches for a while; returns seconds per batch."""
        began, drawn, passed = time.perf_counter(), 0, 0.0
        while passed < timing.BLOCK_S:
            next(self._batches)
            drawn, passed = drawn + 1, time.perf_counter() - began
        return passed / drawn
