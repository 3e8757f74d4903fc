"""Reads images, does with them what is asked for, writes what comes of it; tells what failed."""

import collections
import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from taskfusion_jax.data.images import read_picture
from taskfusion_jax.data.limits import MOST_PIXELS
from taskfusion_jax.engine.progress import Bar
from taskfusion_jax.errors import UserError, one_line
from taskfusion_jax.inference.files import (
    Job,
    check_source,
    check_target,
    find_images,
    identity,
    make_folder,
    plan,
    quiet_libraries,
    write_file,
    write_picture,
)
from taskfusion_jax.inference.model import Model, Strengths

TOP = 5
"""How many of the likeliest classes are told."""


class Predictor:
    """Reads, does and writes one file after another; remembers which failed and why.

    Attributes:
      failed: a line for each file that could not be done.
      labels: file, then names and probabilities of its likeliest classes, for classifications.
    """

    def __init__(self, model: Model, wanted: list[Strengths], output: Path, overwrite: bool):
        """wanted: what each picture of a strip is made with; output: all that is written to."""
        self.model, self.wanted, self.output, self.overwrite = model, wanted, output, overwrite
        self.task = model.only_task(wanted[0])
        self.failed: list[str] = []
        self.labels: list[list[str]] = []
        self._open: collections.deque[tuple[Job, np.ndarray | None]] = collections.deque()
        self._in_pieces = 0

    def __call__(self, given: Path, console: Console) -> int:
        """Does every image at a path; returns how many results were written.

        Raises:
          UserError: there is no image, or no place for the results; no image was done then.
        """
        images, others, closed = find_images(given, self.output)
        self.failed += closed
        if others:
            say(console, f"{given}: left out {others} that are hidden or have no image's suffix")
        if self._labels:
            check_target(self._table, self.output, self.overwrite)
        make_folder(self.output)
        jobs, made, done = plan(given, images, self.output), [], 0
        try:
            with Bar(console, "images", 0, len(jobs), 1) as bar:
                for result in self.model.stream(self._read(jobs, given)):
                    made.append(result)
                    if len(made) == len(self.wanted):
                        done += self._keep(*self._open.popleft(), made)
                        made = []
                        bar.update(done + len(self.failed) - len(closed), math.nan)
        finally:  # those so far, where it is interrupted
            if self.labels:
                self._write_labels()
        if self._in_pieces:
            say(
                console,
                f"in pieces, as larger than --tile={self.model.tiling.tile}: {self._in_pieces}; "
                "tones may differ between pieces, a larger --tile takes more memory and has fewer",
            )
        return done

    def _read(self, jobs: list[Job], given: Path) -> Iterator[tuple[np.ndarray, Strengths]]:
        root = given if given.is_dir() else given.parent
        read = {identity(job.source) for job in jobs} - {None}
        for job in jobs:
            try:
                if job.source != given:  # a link that is named is meant
                    check_source(job.source, root)
                if not self._labels:
                    check_target(job.target, self.output, self.overwrite, read)
                with quiet_libraries():
                    image, transparent = read_picture(job.source)
                self._check_strip(image, job.source)
                self.model.check(image, self.wanted[0], str(job.source))
            except UserError as error:
                self.failed.append(str(error))
                continue
            self._open.append((job, transparent))
            pieces = self.model.tiling.places(*image.shape[:2])
            self._in_pieces += len(pieces) > 1 and not self._labels
            yield from ((image, strengths) for strengths in self.wanted)

    def _check_strip(self, image: np.ndarray, name: Path) -> None:
        pixels = math.prod(image.shape[:2]) * len(self.wanted)
        if pixels > MOST_PIXELS:
            raise UserError(
                f"{name}: a strip of {len(self.wanted)} would have {pixels / 1e6:.0f} million "
                f"pixels, more than {MOST_PIXELS / 1e6:.0f}: ask for fewer steps of --sweep"
            )

    @property
    def _table(self) -> Path:
        return self.output / "labels.csv"

    @property
    def _labels(self) -> bool:
        return self.task is not None and self.task.labels > 0

    def _keep(self, job: Job, given: np.ndarray | None, made: list[np.ndarray]) -> bool:
        """Writes one file's result; whether that worked."""
        if self._labels:
            names, scores = self.model.classes[self.task.name], made[0]
            best = np.argsort(-scores)[:TOP]
            words = (word for i in best for word in (names[i], f"{scores[i]:.4f}"))
            self.labels.append([str(job.source), *words])
            return True
        try:
            whole = None if given is None else np.tile(given, (1, len(made), 1))
            check_target(job.target, self.output, self.overwrite)  # again: time has passed
            strip = made[0] if len(made) == 1 else np.concatenate(made, axis=1)
            write_picture(job.target, strip, whole)
        except UserError as error:
            self.failed.append(str(error))
            return False
        return True

    def _write_labels(self) -> None:
        text, places = io.StringIO(), range(1, 1 + (len(self.labels[0]) - 1) // 2)
        head = (word for i in places for word in (f"label_{i}", f"probability_{i}"))
        csv.writer(text, lineterminator="\n").writerows([["file", *head], *self.labels])
        try:  # names of files need not be Unicode
            write_file(self._table, text.getvalue().encode("utf-8", "backslashreplace"))
        except UserError as error:
            self.failed.append(str(error))


def say(console: Console, text: str) -> None:
    """Prints one line as it is, however long: file names are no mark-up."""
    console.print(one_line(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


def list_tasks(model: Model, console: Console) -> None:
    """Shows what a run has learnt, and how it is asked for."""
    table = Table("task", "makes", "strength", "learnt in", box=SIMPLE_HEAD, pad_edge=False)
    strength = "0 to 1" if model.method.blends else "1"
    for name, task in model.tasks.items():
        makes = f"one of {task.labels} classes" if task.labels else "an image"
        table.add_row(name, makes, strength, model.learnt.get(name, ""))
    console.print(table)
    if model.combinations:
        names, parts = ", ".join(model.combinations), next(iter(model.combinations.values()))
        ask = ",".join(f"{part}=1" for part in parts)
        say(console, f"learnt together: {names}; ask for one as --tasks={ask}")
