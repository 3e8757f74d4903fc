"""Measures what a network does: every task on the same images, beside doing nothing."""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from taskfusion_jax.data.arrays import to_unit
from taskfusion_jax.data.chosen import Spaced
from taskfusion_jax.data.pipeline import check_labels, check_masks, test_batches
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.measures import Measures, reduce, to_uint8
from taskfusion_jax.metrics.features import frechet_features
from taskfusion_jax.metrics.frechet import Moments, frechet_distance
from taskfusion_jax.metrics.references import painting_crops
from taskfusion_jax.protocols import ClassIncremental
from taskfusion_jax.stages import Stage
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import Combined, parts_of

IN_TURN = " in turn"
"""Combined tasks done in a pass each; names of measures end with it, or with a part's name."""
Metrics = dict[str, float]
Pictures = dict[str, np.ndarray]


class Evaluator:
    """Measures every task on the same test images, each beside the do-nothing output.

    Programs are compiled once and serve every task, strength and stage.
    """

    def __init__(self, experiment: Experiment):
        """experiment: with a test source and, for the losses and Frechet distance, weights."""
        self.experiment, self.options = experiment, experiment.config.evaluate
        self.method = experiment.method
        possible = [task for task in experiment.tasks.values() if self._possible(task)]
        self.of_task = {
            task.name: Spaced(experiment.source("test", task), self.options.images)
            for task in possible
        }
        self.tasks = [t for t in possible if self.of_task[t.name].has_masks or not t.needs_mask]
        for task in self.tasks:
            check_masks(self.of_task[task.name].source, [task])
            check_labels(self.of_task[task.name].source, [task])
        self.measures = Measures(experiment)
        self.translate = self.measures.jit(self.method.run)
        self.class_incremental = ClassIncremental(self)
        self.whole = self.measures.jit(lambda x: x)
        self.features = frechet_features(self.options, experiment.constants.get("vgg"))
        if self.features:
            self._features = self.measures.jit(self.features.compute)
            # A target would hold the network's own style image, and differ between networks.
            self._painted = {
                experiment.tasks[name].vector.tobytes(): painting_crops(
                    painting[0], experiment.config.data.size, len(self.of_task[name])
                )
                for name, painting in experiment.paintings.items()
                if name in self.of_task
            }

    @property
    def data_of(self) -> dict[str, str]:
        """Task -> what it is measured on, for people."""
        sources = {task.name: self.of_task[task.name] for task in self.tasks}
        return {name: f"{len(source)} {source!r}" for name, source in sources.items()}

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """Task -> names of its classes, of those that classify images."""
        return {task.name: self.of_task[task.name].labels for task in self.tasks if task.labels}

    @property
    def data(self) -> str:
        """What is measured on, for people."""
        return "; ".join(dict.fromkeys(self.data_of.values()))

    def _possible(self, task: Task) -> bool:
        """Whether some stage trains the task, or the parts of a combined one that is possible."""
        parts = parts_of(task)
        combined = isinstance(task, Combined) and not self.method.combines
        return not combined and all(part.slot in self.method.channels for part in parts)

    def learnt(self, stage: Stage, only: bool = False) -> list[Task]:
        """The tasks to measure after a stage: all, or those that were trained by then (`only`, or
        where `config.evaluate.only_learnt` says so)."""
        if not (only or self.options.only_learnt):
            return self.tasks
        stages = self.experiment.stages[: stage.index + 1]
        names = {name for s in stages for name, count in s.options.rows.items() if count}
        return [
            task
            for task in self.tasks
            if task.name in names or {p.name for p in parts_of(task)} <= names
        ]

    def __call__(
        self,
        params: dict,
        combine: str,
        progress: Callable[[str], None] = lambda name: None,
        tasks: Iterable[Task] | None = None,
    ) -> tuple[Metrics, Pictures, dict]:
        """Evaluates tasks.

        Args:
          params: the network's parameters.
          combine: how combined tasks were learnt (M1 to M4): their metrics' middle name.
          progress: called with each task's name before it is measured; may raise to stop.
          tasks: which of `self.tasks`; None = all.

        Returns:
          Flat metrics `task/metric` (combined: `task/M3/metric`), pictures `task/kind` uint8
          [N, H, W, 3] (of classifications: `input`, and `scores` and `truth` [N, labels]), and
          sweeps {task: {"strengths", "distances"}}.
        """
        metrics, pictures, sweeps = {}, {}, {}
        for task in self.tasks if tasks is None else tasks:
            progress(task.name)
            name = f"{task.name}/{combine}" if isinstance(task, Combined) else task.name
            values, shown = self._measure(params, task)
            metrics |= {f"{name}/{key}": value for key, value in values.items()}
            pictures |= {f"{task.name}/{key}": images for key, images in shown.items()}
            if not self.method.blends:
                continue
            if isinstance(task, Combined):
                if len(task.parts) == 2:
                    pictures[f"{task.name}/pair"] = self._pair(params, task)
            elif task.active:
                images, sweeps[task.name] = self._sweep(params, task)
                pictures[f"{task.name}/sweep"] = images
        return metrics, pictures, sweeps

    def batches(
        self, task: Task, count: int, source: Sequence | None = None
    ) -> Iterator[tuple[int, dict[str, jax.Array]]]:
        """Batches on the devices, the last one filled up, each with its true size.

        source: None = the test images of the task.
        """
        config = self.experiment.config
        source = self.of_task[task.name] if source is None else source
        count = min(count, len(source))
        devices = meshes.shards(self.experiment.mesh)
        full = -(-min(self.options.batch, count) // devices) * devices
        data = self.experiment.data(task)
        batches = test_batches(source, task, data, count=count, batch=full, seed=config.seed + 1)
        for batch in batches:
            real = len(batch["input"])
            filled = {k: np.resize(v, (full, *v.shape[1:])) for k, v in batch.items()}
            on_devices = meshes.place(meshes.split_rows(self.experiment.mesh), filled)
            for key in ("input", "clean"):
                on_devices[key] = to_unit(on_devices[key])
            yield real, on_devices

    def _run(self, params: dict, images: jax.Array, vector: np.ndarray) -> jax.Array:
        """The network's output as it is, [B, H, W, channels]."""
        return self._apply(self.method.pick(params, vector), images, vector)

    def _apply(self, picked: dict, images: jax.Array, vector: np.ndarray) -> jax.Array:
        return self.translate(picked, images, np.tile(vector[None], (len(images), 1)))

    def _image(self, params: dict, task: Task, images: jax.Array, vector: np.ndarray) -> jax.Array:
        return self.measures.show(task, self._run(params, images, vector), images)

    def _measure(self, params: dict, task: Task) -> tuple[Metrics, Pictures]:
        values, shown = collections.defaultdict(list), collections.defaultdict(list)
        picked = self.method.pick(params, task.vector)
        moments, seen = {}, 0

        def stylise(images, vector):
            style = self.experiment.asked_by(vector)
            return self._image(params, style, images, vector)

        for real, batch in self.batches(task, self.options.images):
            given = batch["input"]
            output = self._apply(picked, given, task.vector)
            target = None
            if task.has_target:
                wanted = task.target(batch["clean"], batch["mask"], stylise)
                target = self.measures.show(task, wanted, given)
            image = self.measures.show(task, output, given)
            measured = self.measures.of_classes(task, output, batch["mask"])
            measured |= self.measures.of_labels(task, output, batch["label"])
            images = {"": image, "_identity": given, **self._parts(params, task, given)}
            for suffix, made in images.items():
                found = self.measures.of_image(task, made, target, batch, stylise)
                measured |= {key + suffix: value for key, value in found.items()}
            for key, value in measured.items():
                values[key].append(np.asarray(value)[:real])
            if self.features and task.makes_image:
                for suffix in ("", "_identity"):
                    self._take_in(moments, f"frechet{suffix}", images[suffix][:real])

                def painted(images, vector, first=seen):
                    crops = self._painted[vector.tobytes()][first : first + len(images)]
                    return np.resize(crops, images.shape)

                wanted = task.target(batch["clean"], batch["mask"], painted)
                self._take_in(moments, "reference", self.measures.show(task, wanted, given)[:real])
            seen += real
            parts = {key.strip(): x for key, x in images.items() if key.startswith(" ")}
            every = {"input": given, "target": target, **parts, "output": image}
            if task.labels:
                every = {"input": given, **self.measures.scores(task, output, batch["label"])}
            for key, some in every.items():
                if some is not None:
                    gathered = np.asarray(self.whole(some))
                    shown[key].append(gathered[: min(real, self.options.pictures)])
        metrics = reduce(values) | self._frechet(moments, seen)
        keep = self.options.pictures
        return metrics, {k: to_uint8(np.concatenate(v)[:keep]) for k, v in shown.items()}

    def _parts(self, params: dict, task: Task, given: jax.Array) -> dict[str, jax.Array]:
        """Where tasks are combined by running their own parts: what each part makes alone, and all
        of them in passes of their own, one after another."""
        if self.method.blends or not isinstance(task, Combined):
            return {}
        alone = {f" {p.name}": self._image(params, p, given, p.vector) for p in task.parts}
        passed = given
        for part in task.parts:
            passed = self._image(params, part, passed, part.vector)
        return {**alone, IN_TURN: passed}

    def _take_in(self, moments: dict[str, Moments], key: str, images: jax.Array) -> None:
        features = np.asarray(self._features(self.features.weights, images), np.float64)
        moments[key] = (moments.get(key) or Moments.empty(features.shape[1])).update(features)

    @staticmethod
    def _frechet(moments: dict[str, Moments], count: int) -> Metrics:
        """Distance to the targets' features; for styles, to those of the painting's crops."""
        if "frechet" not in moments or count < 2:
            return {}
        return {
            key: frechet_distance(moments[key], moments["reference"])
            for key in ("frechet", "frechet_identity")
        }

    def _sweep(self, params: dict, task: Task) -> tuple[np.ndarray, dict]:
        """One task at rising strength: pictures of one image, mean distance over several."""
        strengths = np.linspace(0, 1, self.options.sweep)
        real, batch = next(self.batches(task, self.options.pictures))
        vectors = [np.float32(s) * task.vector for s in strengths]
        outputs = [
            np.asarray(self._image(params, task, batch["input"], vector))[:real]
            for vector in vectors
        ]
        distances = [float(np.sqrt(np.mean((y - outputs[-1]) ** 2))) for y in outputs]
        pictures = to_uint8(np.stack([y[0] for y in outputs]))
        return pictures, {"strengths": strengths.tolist(), "distances": distances}

    def _pair(self, params: dict, task: Combined) -> np.ndarray:
        """Two tasks at all pairs of strengths, on the first test image; [S, S, H, W, 3]."""
        strengths = np.linspace(0, 1, self.options.pair, dtype=np.float32)
        _, batch = next(self.batches(task, 1))
        down, right = (part.vector for part in task.parts)
        grid = [
            [
                np.asarray(self._image(params, task, batch["input"], a * down + b * right))[0]
                for b in strengths
            ]
            for a in strengths
        ]
        return to_uint8(np.array(grid))
