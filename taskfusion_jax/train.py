"""The training loop. `run(config, workdir)` does everything that the command `main` does."""

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.console import Console

from taskfusion_jax.after_stage import evaluate_stage
from taskfusion_jax.data.pipeline import Rows, train_batches
from taskfusion_jax.engine import distributed
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine.checkpoint import Checkpoints
from taskfusion_jax.engine.program import compile_program
from taskfusion_jax.engine.progress import Bar, make_console
from taskfusion_jax.engine.signals import StopRequest
from taskfusion_jax.engine.state import State
from taskfusion_jax.engine.writers import MetricWriter, Silent
from taskfusion_jax.errors import UserError
from taskfusion_jax.evaluator import Evaluator
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.report.render import show_results, write_results
from taskfusion_jax.stage_rows import stage_rows
from taskfusion_jax.stages import Stage
from taskfusion_jax.stored import store
from taskfusion_jax.workdir import Workdir


class Stopped(Exception):
    """A signal asked the run to stop, and its state is saved."""


def run(config: ConfigDict, workdir: str | Path) -> int:
    """Trains the stages of `config` one after another, evaluating each, then writes the report.

    A run that was stopped goes on from its newest checkpoint and ends as if it had not been.

    Args:
      config: see `configs/common.py`.
      workdir: folder of the run, made if absent.

    Returns:
      0, or 128 + the signal that stopped the run.

    Raises:
      UserError: whatever is wrong with config, data, weights or folder.
    """
    console = make_console(quiet=not distributed.is_main())
    with StopRequest() as stop:
        try:
            Trainer(Experiment(config), Workdir(Path(workdir)), console, stop).run()
        except Stopped:  # all processes together, see `Agreement`
            number = stop.signal or signal.SIGTERM  # it may have reached another process only
            console.print(f"Stopped by {number.name}; the same command goes on from here.")
            return 128 + number
    return 0


class Trainer:
    """One run: its experiment, its folder, and what is open while it goes on."""

    def __init__(
        self, experiment: Experiment, folder: Workdir, console: Console, stop: StopRequest
    ):
        """Opens data and weights first, so that what is wrong with them leaves no folder behind."""
        self.experiment, self.config = experiment, experiment.config
        self.folder, self.console, self.stop = folder, console, stop
        self.rows: dict[str, list[Rows]] = {}
        for stage in experiment.stages:
            self.rows[stage.name] = stage_rows(experiment, stage)
            experiment.abstract_state(stage)  # finds unknown schedules and wrong expressions
        self.evaluator = Evaluator(experiment)
        self.constants, _ = experiment.constants, experiment.paintings
        self.groups = experiment.groups
        self.agree = distributed.Agreement(experiment.mesh)
        distributed.on_main(lambda: folder.claim(self.config))
        needed = {stage.options.start for stage in experiment.stages}
        ends = [stage.last for stage in experiment.stages if stage.name in needed]
        self.checkpoints = Checkpoints(folder.path, self.config.checkpoint.keep, always=ends)
        self.seconds = 0.0

    def run(self) -> None:
        """Trains and reports; a run that fails before its first checkpoint leaves no folder."""
        try:
            self._run()
        except UserError:
            if self.checkpoints.latest is None and distributed.is_main():
                self.folder.abandon()
            raise

    def _run(self) -> None:
        """Restore; then for every stage: enter, train, evaluate; then report."""
        state, current = self._restore()
        step = int(state.step)
        self.writer = MetricWriter(self.folder.path, step) if distributed.is_main() else Silent()
        if step:
            self.console.print(f"Going on from step {step} of {self.folder.path}.")
        try:
            for stage in self.experiment.stages[current.index :]:
                if stage.index > current.index or not step:
                    state = self._enter(state, stage)
                state = self._train(state, stage)
                self._evaluate(state, stage)
        finally:
            self.writer.close()
            self.checkpoints.close()
        store(self.experiment, self.experiment.eval_params(state), self.folder.tasks)
        if distributed.is_main():
            write_results(self.experiment, self.folder)
            show_results(self.folder, self.console)

    def _restore(self) -> tuple[State, Stage]:
        """The newest checkpoint and the stage it was saved in, or a fresh start."""
        stages = self.experiment.stages
        by_name = {stage.name: stage for stage in stages}
        restored = self.checkpoints.restore(
            lambda meta: self.experiment.abstract_state(by_name[meta["stage"]])
        )
        if restored is None:
            return self.experiment.init_state(), stages[0]
        state, data, meta = restored
        sources = [rows.source for rows in self.rows[meta["stage"]]]
        if data["examples"] != (examples := sum(map(len, sources))):
            raise UserError(
                f"{self.folder.path} was trained on {data['examples']} examples, but "
                f"{', '.join(map(repr, sources))} has {examples} now: bring the data back, or give "
                "another --workdir"
            )
        # However many devices there are now, a batch stays what it was.
        self.groups, parts = data["groups"], meshes.shards(self.experiment.mesh)
        if self.groups % (parts * self.config.accumulate):
            raise UserError(
                f"{self.folder.path} was trained with {self.groups} groups of rows per batch, "
                f"which {parts} devices x config.accumulate={self.config.accumulate} cannot share: "
                "use fewer devices (or parts) that divide it"
            )
        self.seconds = meta["seconds"]
        return state, by_name[meta["stage"]]

    def _enter(self, state: State, stage: Stage) -> State:
        """The state at the beginning of a stage, which may go back to an earlier stage's end."""
        if not stage.options.start:
            return self.experiment.enter(state, stage)
        (first,) = (s for s in self.experiment.stages if s.name == stage.options.start)
        before = self.checkpoints.read(first.last, self.experiment.abstract_state(first))
        return self.experiment.enter(self.experiment.taken_back(state, before, stage), stage)

    def _train(self, state: State, stage: Stage) -> State:
        """For every step: next batch, step, log, save."""
        step, options = int(state.step), self.config
        if step >= stage.last:
            return state
        batches = train_batches(
            self.rows[stage.name],
            groups=self.groups,
            seed=options.seed + 1000 * stage.index,
            start=step - stage.first,
            process=jax.process_index(),
            processes=jax.process_count(),
        )
        batch = meshes.to_devices(self.experiment.mesh, next(batches))
        update = self._compile(stage, state, batch)
        total, began, spent = stage.last - stage.first, time.monotonic(), self.seconds
        loss = math.nan
        images = self.groups * sum(len(rows.turns) for rows in self.rows[stage.name])
        with Bar(self.console, stage.name, step - stage.first, total, images) as bar:
            while step < stage.last:
                with jax.transfer_guard("disallow"):  # nothing crosses to or from a device unseen
                    state, metrics = update(state, self.constants, batch)
                    step += 1
                    if step < stage.last:
                        batch = meshes.to_devices(self.experiment.mesh, next(batches))
                # Asked once: the signal may come during this very step.
                stopping = self.agree(bool(self.stop))
                saving = stopping or step % options.checkpoint.every == 0 or step == stage.last
                if step % options.log_every == 0 or saving:
                    values = self._checked(jax.device_get(metrics), step)
                    loss = values["loss"]
                    if step % options.log_every == 0:
                        self.writer.write(step, stage.name, values)
                bar.update(step - stage.first, loss)
                self.seconds = spent + time.monotonic() - began
                if saving:
                    self._save(state, stage, wait=stopping or step == stage.last)
                if stopping and step < stage.last:
                    raise Stopped
        return state

    def _compile(self, stage: Stage, state: State, batch: dict) -> Callable:
        """The stage's step for batches like this one; says what it needs."""
        step = self.experiment.train_step(stage, state.params)
        with self.console.status(f"{stage.name}: compiling"):
            program = compile_program(step, state, self.constants, batch)
        self.console.print(f"{stage.name}: {program}")
        return program.run

    def _checked(self, metrics: dict, step: int) -> dict[str, float]:
        """The metrics as floats. Raises UserError if one is not finite."""
        values = {name: float(value) for name, value in sorted(metrics.items())}
        wrong = [f"{name}={value}" for name, value in values.items() if not math.isfinite(value)]
        terms = [word for word in wrong if "/" in word]  # they explain the sums
        if wrong := terms or wrong:
            self.checkpoints.wait()
            raise UserError(
                f"training broke down: {', '.join(wrong)} at step {step}; the newest good "
                f"checkpoint is step {self.checkpoints.latest}; lower config.stages.*.lr or these "
                "losses' weights in config.tasks and start with another --workdir"
            )
        return values

    def _save(self, state: State, stage: Stage, wait: bool) -> None:
        examples = sum(len(rows.source) for rows in self.rows[stage.name])
        data = {"batches": int(state.step) - stage.first, "examples": examples}
        data["groups"] = self.groups
        self.checkpoints.save(state, data, {"stage": stage.name, "seconds": self.seconds})
        if wait:
            self.checkpoints.wait()

    def _evaluate(self, state: State, stage: Stage) -> None:
        """Measures the stage unless that is done; a stop between two tasks loses nothing."""

        def check_stop():
            if self.agree(bool(self.stop)):
                raise Stopped

        last = self.experiment.stages[-1]
        if stage.index < last.index and not self.config.evaluate.every_stage:
            check_stop()  # before the next stage compiles
            return
        # The first process decides: others may see a shared folder later than it does.
        found = self.folder.evaluation(stage.name) if distributed.is_main() else None
        done = str(found[0]["step"]) if found else ""
        if distributed.broadcast(done) != str(int(state.step)):
            check_stop()
            evaluate_stage(
                self.evaluator, state, stage, self.folder, self.console, self.seconds, check_stop
            )
