"""Measures what a network does: every task on the same images, beside doing nothing."""

import collections
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from taskfusion_jax.data.pipeline import Spaced, test_batches
from taskfusion_jax.engine import distributed
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.provenance import provenance
from taskfusion_jax.engine.state import State
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.metrics.features import frechet_features
from taskfusion_jax.metrics.frechet import Moments, frechet_distance
from taskfusion_jax.metrics.image import mse, psnr, ssim
from taskfusion_jax.metrics.iou import foreground, iou, iou_counts
from taskfusion_jax.metrics.lpips import lpips
from taskfusion_jax.metrics.references import painting_crops
from taskfusion_jax.porting.lpips import load_lpips_heads
from taskfusion_jax.stages import Stage
from taskfusion_jax.tasks import losses
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.tasks.objective import to_float
from taskfusion_jax.tasks.segmentation import ignore_void
from taskfusion_jax.workdir import Workdir

Metrics = dict[str, float]
Pictures = dict[str, np.ndarray]


class Evaluator:
    """Measures every task on the same test images, each beside the do-nothing output.

    Programs are compiled once and serve every task, strength and stage.
    """

    def __init__(self, experiment: Experiment):
        """experiment: with a test source and, for the losses and Frechet distance, weights."""
        self.experiment, self.options = experiment, experiment.config.evaluate
        self.source = Spaced(experiment.source("test"), self.options.images)
        self.count = len(self.source)
        every = meshes.replicated(experiment.mesh)
        self.method = experiment.method
        run = self.method.run
        self._translate = jit(lambda p, x, c: jnp.clip(run(p, x, c), 0, 1), out_shardings=every)
        self._compare = jit(
            lambda a, b: {"mse": mse(a, b), "psnr": psnr(a, b), "ssim": ssim(a, b)},
            out_shardings=every,
        )
        self._overlap = jit(
            lambda out, uncut, fill, mask: iou_counts(foreground(out, uncut, fill), mask),
            out_shardings=every,
        )
        vgg16 = experiment.constants.get("vgg")
        self.features = frechet_features(self.options, vgg16)
        if self.features:
            self._features = jit(self.features.compute, out_shardings=every)
            # A target would hold the network's own style image, and differ between networks.
            self._painted = {
                experiment.tasks[name].vector.tobytes(): painting_crops(
                    painting[0], experiment.config.data.size, self.count
                )
                for name, painting in experiment.paintings.items()
            }
        if self.options.lpips:
            self._lpips_weights = {
                "vgg16": vgg16,
                "heads": jax.device_put(load_lpips_heads(self.options.lpips_heads)),
            }
            self._lpips = jit(lpips, out_shardings=every)
        self._whole = jit(lambda x: x, out_shardings=every)
        self._style_terms = jit(self._style_of_each, out_shardings=every)
        self.tasks = [t for t in experiment.tasks.values() if self._judgeable(t)]

    def _judgeable(self, task: Task) -> bool:
        possible = self.method.blends or not isinstance(task, Combined)
        return possible and (self.source.has_masks or not task.needs_mask)

    def __call__(
        self, params: dict, combine: str, progress: Callable[[str], None] = lambda name: None
    ) -> tuple[Metrics, Pictures, dict]:
        """Evaluates all tasks.

        Args:
          params: the network's parameters.
          combine: how combined tasks were learnt (M1 to M4): their metrics' middle name.
          progress: called with each task's name before it is measured; may raise to stop.

        Returns:
          metrics by flat name; pictures `task/input|target|output` uint8 [N, H, W, 3],
          `task/sweep` [S, H, W, 3], `task/pair` [S, S, H, W, 3]; and the strength sweeps,
          task -> {"strengths", "distances"}.
        """
        metrics, pictures, sweeps = {}, {}, {}
        for task in self.tasks:
            progress(task.name)
            name = f"{task.name}/{combine}" if isinstance(task, Combined) else task.name
            values, shown = self._measure(params, task)
            metrics |= {f"{name}/{key}": value for key, value in values.items()}
            pictures |= {f"{task.name}/{key}": images for key, images in shown.items()}
            if isinstance(task, Combined):
                if len(task.parts) == 2:
                    pictures[f"{task.name}/pair"] = self._pair(params, task)
            elif task.active and self.method.blends:
                images, sweeps[task.name] = self._sweep(params, task)
                pictures[f"{task.name}/sweep"] = images
        return metrics, pictures, sweeps

    def _batches(self, task: Task, count: int) -> Iterator[tuple[int, dict[str, jax.Array]]]:
        """Test batches on the devices, the last one filled up, each with its true size."""
        config = self.experiment.config
        devices = meshes.shards(self.experiment.mesh)
        full = -(-min(self.options.batch, count) // devices) * devices
        batches = test_batches(
            self.source, task, config.data, count=count, batch=full, seed=config.seed + 1
        )
        for batch in batches:
            real = len(batch["input"])
            filled = {k: np.resize(v, (full, *v.shape[1:])) for k, v in batch.items()}
            on_devices = meshes.place(meshes.split_rows(self.experiment.mesh), filled)
            for key in ("input", "clean"):
                on_devices[key] = to_float(on_devices[key])
            yield real, on_devices

    def _run(self, params: dict, images: jax.Array, vector: np.ndarray) -> jax.Array:
        picked = self.method.pick(params, vector)
        return self._translate(picked, images, np.tile(vector[None], (len(images), 1)))

    def _measure(self, params: dict, task: Task) -> tuple[Metrics, Pictures]:
        values, moments = collections.defaultdict(list), {}
        shown = collections.defaultdict(list)
        seen = 0
        for real, batch in self._batches(task, self.count):
            output = self._run(params, batch["input"], task.vector)

            def stylise(images, vector):
                return self._run(params, images, vector)

            target = (
                task.target(batch["clean"], batch["mask"], stylise) if task.has_target else None
            )
            for suffix, image in (("", output), ("_identity", batch["input"])):
                for key, value in self._judge(task, image, target, batch, stylise).items():
                    values[key + suffix].append(np.asarray(value)[:real])
                self._take_in(moments, f"frechet{suffix}", image[:real])
            if self.features:

                def painted(images, vector, first=seen):
                    crops = self._painted[vector.tobytes()][first : first + len(images)]
                    return np.resize(crops, images.shape)

                wanted = task.target(batch["clean"], batch["mask"], painted)
                self._take_in(moments, "reference", wanted[:real])
            seen += real
            for key, image in (("input", batch["input"]), ("target", target), ("output", output)):
                if image is not None:
                    whole = np.asarray(self._whole(image))
                    shown[key].append(whole[: min(real, self.options.pictures)])
        metrics = self._reduce(values) | self._frechet(moments)
        keep = self.options.pictures
        return metrics, {k: _to_uint8(np.concatenate(v)[:keep]) for k, v in shown.items()}

    def _judge(self, task: Task, image, target, batch, stylise) -> Mapping[str, jax.Array]:
        """Per-image values of one output, [B] each."""
        values = {}
        if target is not None:
            judged = ignore_void(image, target, batch["mask"]) if task.needs_mask else image
            values |= self._compare(judged, target)
            if self.options.lpips:
                values["lpips"] = self._lpips(self._lpips_weights, judged, target)
        if task.cuts:
            fill = next(
                part.fill for part in (getattr(task, "parts", None) or (task,)) if part.cuts
            )
            uncut = task.uncut(batch["clean"], batch["mask"], stylise)
            counts = self._overlap(image, uncut, np.array(fill, np.float32), batch["mask"])
            values["intersection"], values["union"] = counts
        grams = self.experiment.constants.get("grams", {})
        for part in getattr(task, "parts", (task,)):
            if part.name in grams:
                weights = self.experiment.constants["vgg"]
                terms = self._style_terms(weights, grams[part.name], image, batch["clean"])
                values["content_loss"], values["style_loss"] = terms
        return values

    def _style_of_each(self, weights: dict, grams: dict, images: jax.Array, clean: jax.Array):
        vgg = self.experiment.vgg

        def one(image, original):
            made, wanted = (vgg.apply({"params": weights}, x[None]) for x in (image, original))
            rows = losses.Rows(None, None, None, None, None, made, wanted, grams)
            return losses.content(rows), losses.style(rows)

        return jax.vmap(one)(images, clean)

    def _take_in(self, moments: dict[str, Moments], key: str, images: jax.Array) -> None:
        if not self.features:
            return
        features = np.asarray(self._features(self.features.weights, images), np.float64)
        moments[key] = (moments.get(key) or Moments.empty(features.shape[1])).update(features)

    def _frechet(self, moments: dict[str, Moments]) -> Metrics:
        """Distance to the targets' features; for styles, to those of the painting's crops."""
        if "frechet" not in moments or self.count < 2:
            return {}
        return {
            key: frechet_distance(moments[key], moments["reference"])
            for key in ("frechet", "frechet_identity")
        }

    @staticmethod
    def _reduce(values: dict[str, list[np.ndarray]]) -> Metrics:
        """Means over images; intersection and union become dataset and per-image IoU."""
        joined = {key: np.concatenate(parts).astype(np.float64) for key, parts in values.items()}
        metrics = {}
        for suffix in ("", "_identity"):
            if (common := joined.pop(f"intersection{suffix}", None)) is not None:
                union = joined.pop(f"union{suffix}")
                metrics[f"iou{suffix}"] = float(iou(common.sum(), union.sum()))
                metrics[f"iou_image{suffix}"] = float(np.mean(iou(common, union)))
        return {key: float(np.mean(value)) for key, value in joined.items()} | metrics

    def _sweep(self, params: dict, task: Task) -> tuple[np.ndarray, dict]:
        """One task at rising strength: pictures of one image, mean distance over several."""
        strengths = np.linspace(0, 1, self.options.sweep)
        real, batch = next(self._batches(task, min(self.options.pictures, self.count)))
        outputs = [
            np.asarray(self._run(params, batch["input"], np.float32(s) * task.vector))[:real]
            for s in strengths
        ]
        distances = [float(np.sqrt(np.mean((y - outputs[-1]) ** 2))) for y in outputs]
        pictures = _to_uint8(np.stack([y[0] for y in outputs]))
        return pictures, {"strengths": strengths.tolist(), "distances": distances}

    def _pair(self, params: dict, task: Combined) -> np.ndarray:
        """Two tasks at all pairs of strengths, on the first test image; [S, S, H, W, 3]."""
        strengths = np.linspace(0, 1, self.options.pair, dtype=np.float32)
        _, batch = next(self._batches(task, 1))
        down, right = (part.vector for part in task.parts)
        grid = [
            [
                np.asarray(self._run(params, batch["input"], a * down + b * right))[0]
                for b in strengths
            ]
            for a in strengths
        ]
        return _to_uint8(np.array(grid))


def _to_uint8(images: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)


def evaluate_stage(
    evaluator: Evaluator,
    state: State,
    stage: Stage,
    folder: Workdir,
    console: Console,
    seconds: float,
    check_stop: Callable[[], None],
) -> None:
    """Measures the network as it is after (or within) a stage, and keeps that in the folder.

    Args:
      evaluator: of the run's experiment.
      state: the run's state.
      stage: where the state is.
      folder: the run's folder.
      console: shows which task is at hand.
      seconds: training time so far, for the record.
      check_stop: called between tasks; may raise to stop.
    """
    experiment = evaluator.experiment
    count = len(evaluator.tasks)
    with console.status("evaluating") as status:

        def progress(name):
            check_stop()
            status.update(f"evaluating {name} ({count} tasks, {evaluator.count} images each)")

        params = experiment.eval_params(state)
        metrics, pictures, sweeps = evaluator(params, stage.options.combine, progress)
    values = {
        "metrics": metrics,
        "sweeps": sweeps,
        "step": int(state.step),
        "seconds": round(seconds, 1),
        "data": f"{evaluator.count} {evaluator.source!r}",
        "frechet": evaluator.features.name if evaluator.features else "",
        **provenance(),
    }
    if distributed.is_main():
        folder.save_evaluation(stage.name, values, pictures)
