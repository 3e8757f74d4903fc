"""A trained run as a function of images and of what is to be done with them."""

import collections
import dataclasses
import math
import numbers
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.data.arrays import as_array, check_images, to_bytes, to_unit
from taskfusion_jax.data.images import enlarge
from taskfusion_jax.data.pipeline import Crop
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.inference.restored import restore_run
from taskfusion_jax.inference.tiles import Canvas, Tiling
from taskfusion_jax.stages import Stage
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import parts_of

Strengths = Mapping[str, float]
MOST_PIECES = 1024
"""Of a batch; what comes of them waits in memory."""
AT_ONCE = 2**21
"""Pixels of the pieces of a batch; a single piece may have more."""
HELD = 2**24
"""Pixels of images that may wait for others of their shape to fill a batch."""


def load(workdir: str | Path, *, tile: int = 2048, batch: int = 8) -> "Model":
    """Opens the newest checkpoint of a run; see `Model`.

        model = taskfusion_jax.load("runs/quickstart")
        y = model(images, style_1=0.6)

    Args:
      workdir: folder of the run, which may still be training.
      tile: side of the largest piece that the network sees at once, in pixels.
      batch: how many pieces it sees at once, up to 1,024; fewer of large ones.

    Raises:
      UserError: there is no run or no checkpoint, or it is damaged, or a size is no whole number.
    """
    _check_whole("tile", tile, 1 << 30)
    _check_whole("batch", batch, MOST_PIECES)
    experiment, folder, state, _ = restore_run(Path(workdir))
    begun = [stage for stage in experiment.stages if stage.first < int(state.step)]
    labels: dict[str, tuple[str, ...]] = {}
    for stage in begun:
        labels |= (folder.measured(stage.name) or {}).get("labels", {})
    params = experiment.eval_params(state)
    return Model(experiment, params, begun, labels, folder.path, tile=tile, batch=batch)


class Model:
    """A network and what it has learnt, for one thread at a time.

    Attributes:
      tasks: name -> single task that some stage trained.
      classes: name -> names of a classification's classes, their numbers where none were kept.
      learnt: tasks, combined ones too -> the last stage that trained them.
      combinations: those that were learnt together -> their tasks.
      config: of the run.
      method: how its tasks share one network.
      workdir: its folder.
      tiling: how large images are cut.
      params: the network's parameters, averaged where an average is kept; others may take their
        place.
    """

    def __init__(
        self,
        experiment: Experiment,
        params: dict,
        stages: Sequence[Stage],
        labels: Mapping[str, Sequence[str]],
        workdir: Path,
        *,
        tile: int = 2048,
        batch: int = 8,
    ):
        """See `load`. stages: those that have begun; labels: task -> names of its classes."""
        self.config, self.method, self.workdir = experiment.config, experiment.method, workdir
        self.learnt = {name: s.name for s in stages for name, n in s.options.rows.items() if n}
        self.combinations = {name: tuple(name.split("+")) for name in self.learnt if "+" in name}
        single = {part.name: part for n in self.learnt for part in parts_of(experiment.tasks[n])}
        self.tasks: dict[str, Task] = dict(sorted(single.items(), key=lambda x: x[1].slot))
        self.classes = {
            name: tuple(labels.get(name, map(str, range(task.labels))))
            for name, task in self.tasks.items()
            if task.labels
        }
        self._mesh, self.params = experiment.mesh, params
        self._batch = -(-batch // meshes.shards(self._mesh)) * meshes.shards(self._mesh)
        self.tiling = Tiling(self.method.backbone.side, tile)
        self._shown = jit(self._show, static_argnames="shown_by")
        self._kept: tuple[dict, Hashable, dict] = ({}, None, {})  # params, route, what was picked

    @property
    def programs(self) -> int:
        """How many programs that run images were compiled so far: for each shape of pieces one for
        a full batch and one for a single piece."""
        return self._shown._cache_size()

    def __call__(self, images: np.ndarray, /, **strengths: float) -> np.ndarray:
        """Does tasks at strengths between 0 and 1: `model(images, restoration=1, style_1=0.6)`.

        Args:
          images: float [B, H, W, 3] or [H, W, 3] in [0, 1], or uint8 in 0..255; any size. Images
            larger than a tile are done in overlapping pieces, each with statistics of its own.
          **strengths: at least one task's name and how much of it.

        Returns:
          float32. Images [B, H, W, 3] in [0, 1]; of a classification probabilities [B, classes],
          of the square in the middle of each image. Without the first axis where `images` had none.

        Raises:
          UserError: an unknown task, a strength out of range, tasks that do not go together, or
            images that are not as above.
        """
        images = as_array(images)
        single = images.ndim == 3
        images = images[None] if single else images
        check_images(images)
        for image in images:
            self.check(image, strengths)
        made = np.stack(list(self.stream((image, strengths) for image in images)))
        return made[0] if single else made

    def stream(self, asked: Iterable[tuple[np.ndarray, Strengths]]) -> Iterator[np.ndarray]:
        """As the call, for images of different sizes: one result for each, in their order.

        Pieces of one shape wait for each other, so that batches are full whatever the order of
        sizes, until images of `HELD` pixels wait, or `MOST_PIECES` of them.

        Args:
          asked: images, each uint8 or float [H, W, 3], and what is to be done with each.

        Raises:
          UserError: as the call, when it comes to the image.
        """
        waiting: collections.deque[Canvas] = collections.deque()
        batches: dict[tuple, list[_Piece]] = {}  # by program, the one that waits longest first
        for given, strengths in asked:
            image = as_array(given)
            check_images(image[None])
            vector, task = self.vector(strengths), self.only_task(strengths)
            labels = task is not None and task.labels > 0
            image = self._square(image) if labels else image
            waiting.append(canvas := Canvas(self.tiling, *image.shape[:2], scores=labels))
            for x in self.tiling.cut(image) if not labels else (image,):
                piece = _Piece(canvas, x, vector, self._shown_by(task), self.method.route(vector))
                batch = batches.setdefault(piece.program, [])
                batch.append(piece)
                if len(batch) == self._most(piece):
                    self._run(batches.pop(piece.program))
            while waiting and (waiting[0].whole or _many(waiting)):
                if waiting[0].whole:
                    yield waiting.popleft().image()
                else:
                    self._run(batches.pop(next(iter(batches))))
        for batch in batches.values():
            self._run(batch)
        while waiting:
            yield waiting.popleft().image()

    def vector(self, strengths: Strengths) -> np.ndarray:
        """The task vector, float32 [slots]. Raises UserError for what cannot be done."""
        if not strengths:
            raise UserError(f"name a task and its strength, of {', '.join(self.tasks)}")
        vector = np.zeros(self.method.slots, np.float32)
        shares = {}
        for name, strength in strengths.items():
            self._check_name(name)
            shares[name] = _number(name, strength)
            vector += np.float32(shares[name]) * self.tasks[name].vector
        if len(strengths) > 1 and (odd := [n for n in strengths if not _joins(self.tasks[n])]):
            raise UserError(f"{odd[0]} makes no image, so it goes with no other task: ask it alone")
        if not self.method.blends:
            self._check_whole_tasks(shares)
        self._picked(vector)
        return vector

    def _check_whole_tasks(self, shares: Mapping[str, float]) -> None:
        """Of methods that have parameters per task."""
        asked = [name for name, share in shares.items() if share]
        if not asked or any(shares[name] < 1 for name in asked):
            raise UserError(f"{', '.join(shares)}: a task of this run is done at strength 1")
        if len(asked) > 1 and not self.method.combines:
            raise UserError(f"{', '.join(asked)}: a task of this run is done alone, ask for one")

    def _check_name(self, name: str) -> None:
        if name in self.tasks:
            return
        parts = name.split("+")
        if len(parts) > 1 and all(part in self.tasks for part in parts):
            ask = ",".join(f"{part}=1" for part in parts)
            raise UserError(f"'{name}' is asked for by its parts: write {ask}")
        raise UserError(f"no task '{name}' was trained{did_you_mean(name, self.tasks)}")

    def only_task(self, strengths: Strengths) -> Task | None:
        """The one task that is asked for, None where there are several."""
        return self.tasks[next(iter(strengths))] if len(strengths) == 1 else None

    def check(self, image: np.ndarray, strengths: Strengths, name: str = "an image") -> None:
        """Raises UserError where an image, uint8 or float [H, W, 3], does not suit a task; name: of
        it."""
        for task in strengths:
            self._check_name(task)
            self.tasks[task].check_input(image[None], name)

    def _picked(self, vector: np.ndarray) -> dict:
        """The network's parameters for a vector; the last ones are kept."""
        params, last, picked = self._kept
        route = self.method.route(vector)
        if params is not self.params or route != last:
            picked = self.method.pick(self.params, vector)
            self._kept = self.params, route, picked
        return picked

    def _shown_by(self, task: Task | None) -> str:
        """The task whose `show` turns the output into a picture or probabilities; "" where the
        output is the picture."""
        if task is None or (_joins(task) and type(task).show is Task.show):
            return ""
        return task.name

    def _square(self, image: np.ndarray) -> np.ndarray:
        """The middle of an image as classifications are evaluated on it, [size, size, 3]."""
        size = self.config.data.size
        large = {"image": enlarge(to_bytes(image), size)}
        return to_unit(Crop(size, 1.0, random=False).random_map(large, None)["image"])

    def _most(self, piece: "_Piece") -> int:
        """How many such pieces are a full batch."""
        shards = meshes.shards(self._mesh)
        fit = max(AT_ONCE // math.prod(piece.x.shape[:2]), 1)
        return min(self._batch, -(-fit // shards) * shards)

    def _run(self, pieces: Sequence["_Piece"]) -> None:
        """Does pieces that one program can do, and puts them in their places.

        A full batch is done at once, fewer one by one, so that two programs serve any number.
        """
        first, most = pieces[0], self._most(pieces[0])
        picked = self._picked(first.c)
        step = most if len(pieces) == most else meshes.shards(self._mesh)
        for start in range(0, len(pieces), step):
            some = pieces[start : start + step]
            filled = [*some, *some[:1] * (step - len(some))]
            x, c = np.stack([to_unit(p.x) for p in filled]), np.stack([p.c for p in filled])
            rows = meshes.place(meshes.split_rows(self._mesh), {"x": x, "c": c})
            made = self._shown(picked, rows["x"], rows["c"], shown_by=first.shown_by)
            for piece, output in zip(some, np.asarray(made), strict=False):
                piece.canvas.put(output)

    def _show(self, picked: dict, x: jax.Array, c: jax.Array, shown_by: str) -> jax.Array:
        output = self.method.run(picked, x, c)
        if not shown_by:
            return jnp.clip(output[..., :3], 0, 1)
        task = self.tasks[shown_by]
        output = output[..., : task.channels]
        return jax.nn.softmax(output) if task.labels else task.show(output, x)


@dataclasses.dataclass(frozen=True)
class _Piece:
    """A piece of an image, and what is to be done with it."""

    canvas: Canvas
    x: np.ndarray
    c: np.ndarray
    shown_by: str
    route: Hashable

    @property
    def program(self) -> tuple:
        """Pieces that can be done together have the same."""
        return self.x.shape, self.shown_by, self.route


def _many(waiting: Collection[Canvas]) -> bool:
    """Whether memory is better spent than on waiting for full batches."""
    return len(waiting) > MOST_PIECES or sum(canvas.pixels for canvas in waiting) > HELD


def _joins(task: Task) -> bool:
    """Whether its output is an image like those of other tasks."""
    return task.makes_image and task.channels == 3


def _number(name: str, strength: float) -> float:
    """Whatever stands for a number from 0 to 1, as one."""
    try:
        number = math.nan if isinstance(strength, str | bytes) else float(strength)
    except Exception:  # whatever a foreign type raises
        number = math.nan
    if not 0 <= number <= 1:  # NaN too
        raise UserError(f"{name}={strength}: a strength is a number between 0 and 1")
    return number


def _check_whole(name: str, value: int, most: float) -> None:
    if not isinstance(value, numbers.Integral) or not 1 <= value <= most:
        raise UserError(f"{name}={value}: give a whole number from 1 to {most}")
