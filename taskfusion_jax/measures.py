"""What is measured of one output: distances to a target, overlaps, classes, style losses."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.metrics.image import mse, psnr, ssim
from taskfusion_jax.metrics.iou import class_counts, foreground, iou, iou_counts, mean_iou
from taskfusion_jax.metrics.lpips import lpips
from taskfusion_jax.porting.lpips import load_lpips_heads
from taskfusion_jax.tasks import losses
from taskfusion_jax.tasks.base import Stylise, Task
from taskfusion_jax.tasks.combined import parts_of
from taskfusion_jax.tasks.segmentation import ignore_void

Values = dict[str, list[np.ndarray]]


class Measures:
    """Per-image values of outputs, by jitted programs that serve all tasks of a kind."""

    def __init__(self, experiment: Experiment):
        """experiment: with weights of VGG16 where losses or LPIPS need them."""
        self.experiment, self.options = experiment, experiment.config.evaluate
        self.jit = functools.partial(jit, out_shardings=meshes.replicated(experiment.mesh))
        self._shown: dict[tuple, Callable] = {}
        self._counted: dict[tuple, Callable] = {}
        self._compare = self.jit(
            lambda a, b: {"mse": mse(a, b), "psnr": psnr(a, b), "ssim": ssim(a, b)}
        )
        self._overlap = self.jit(
            lambda out, uncut, fill, mask: iou_counts(foreground(out, uncut, fill), mask)
        )
        self._style_terms = self.jit(self._style_of_each)
        self._classified = self.jit(classified)
        if self.options.lpips:
            self._lpips_weights = {
                "vgg16": experiment.constants.get("vgg"),
                "heads": jax.device_put(load_lpips_heads(self.options.lpips_heads)),
            }
            self._lpips = self.jit(lpips)

    def show(self, task: Task, output: jax.Array, given: jax.Array) -> jax.Array:
        """See `Task.show`; the output may have more channels than the task reads."""
        channels = min(task.channels, output.shape[-1])
        key = type(task).show, channels
        if key not in self._shown:
            self._shown[key] = self.jit(lambda out, x: task.show(out[..., :channels], x))
        return self._shown[key](output, given)

    def of_image(
        self,
        task: Task,
        image: jax.Array,
        target: jax.Array | None,
        batch: Mapping,
        stylise: Stylise,
    ) -> dict[str, jax.Array]:
        """Per-image values of what an output shows, [B] each.

        Args:
          task: the task.
          image, target: what output and target show, [B, H, W, 3] in [0, 1].
          batch: clean, mask.
          stylise: see `tasks.base`.
        """
        values = {}
        if task.classes or not task.makes_image:
            return values
        if target is not None:
            judged = ignore_void(image, target, batch["mask"]) if task.needs_mask else image
            values |= self._compare(judged, target)
            if self.options.lpips:
                values["lpips"] = self._lpips(self._lpips_weights, judged, target)
        if task.cuts:
            fill = next(part.fill for part in parts_of(task) if part.cuts)
            uncut = task.uncut(batch["clean"], batch["mask"], stylise)
            counts = self._overlap(image, uncut, np.array(fill, np.float32), batch["mask"])
            values["intersection"], values["union"] = counts
        grams = self.experiment.constants.get("grams", {})
        for part in parts_of(task):
            if part.name in grams:
                weights = self.experiment.constants["vgg"]
                terms = self._style_terms(weights, grams[part.name], image, batch["clean"])
                values["content_loss"], values["style_loss"] = terms
                loss = part.loss
                values["total_loss"] = sum(
                    loss.get(name, 0) * value
                    for name, value in zip(("content", "style"), terms, strict=True)
                )
        return values

    def of_classes(self, task: Task, output: jax.Array, mask: jax.Array) -> dict[str, jax.Array]:
        """Pixel counts, [B, classes] each, of a task that tells classes apart; else nothing."""
        if not task.classes:
            return {}
        key = type(task), task.classes
        if key not in self._counted:

            def count(output, mask):
                found = task.class_map(output[..., : task.channels])
                return class_counts(found, mask, task.classes)

            self._counted[key] = self.jit(count)
        common, union, wanted = self._counted[key](output, mask)
        return {"class_common": common, "class_union": union, "class_wanted": wanted}

    def of_labels(self, task: Task, output: jax.Array, label: jax.Array) -> dict[str, jax.Array]:
        """Per-image values, [B] each, of a task that classifies images; else nothing.

        label: int32 [B, 2], of which the first is the image's.
        """
        if not task.labels:
            return {}
        return self._classified(output[:, : task.channels], label[:, 0])

    def scores(self, task: Task, output: jax.Array, label: jax.Array) -> dict[str, jax.Array]:
        """How sure a classification is of each class, and which it is, [B, labels] in [0, 1]."""
        sure = jax.nn.softmax(output[:, : task.labels].astype(jnp.float32))
        return {"scores": sure, "truth": jax.nn.one_hot(label[:, 0], task.labels)}

    def _style_of_each(self, weights: dict, grams: dict, images: jax.Array, clean: jax.Array):
        vgg = self.experiment.vgg

        def one(image, original):
            made, wanted = (vgg.apply({"params": weights}, x[None]) for x in (image, original))
            rows = losses.Rows(
                *(None, None, None, None, None),
                features=made,
                clean_features=wanted,
                painting_grams=grams,
            )
            return losses.content(rows), losses.style(rows)

        return jax.vmap(one)(images, clean)


def classified(scores: jax.Array, label: jax.Array) -> dict[str, jax.Array]:
    """Of class scores [B, classes] and classes [B]: whether each is right, in the first 5, how
    surprising in nats, and the class again, whose commonest is the answer without looking."""
    said = jnp.argmax(scores, axis=1)  # of equal scores the first: equal ones are no answer
    values = {"accuracy": (said == label).astype(jnp.float32), "label": label}
    values["nll"] = optax.softmax_cross_entropy_with_integer_labels(scores, label)
    if scores.shape[1] > 5:
        _, first = jax.lax.top_k(scores, 5)
        values["top_5"] = jnp.any(first == label[:, None], axis=1).astype(jnp.float32)
    return values


def reduce(values: Values) -> dict[str, float]:
    """Means over images; counts of pixels become IoU of the data set and, of objects, per image."""
    joined = {key: np.concatenate(parts).astype(np.float64) for key, parts in values.items()}
    metrics = {}
    for key in [key for key in joined if key.startswith("intersection")]:
        suffix = key.removeprefix("intersection")
        common, union = joined.pop(key), joined.pop(f"union{suffix}")
        metrics[f"iou{suffix}"] = float(iou(common.sum(), union.sum()))
        metrics[f"iou_image{suffix}"] = float(np.mean(iou(common, union)))
    if "class_common" in joined:
        common, union, wanted = (
            joined.pop(f"class_{key}").sum(axis=0) for key in ("common", "union", "wanted")
        )
        metrics["miou"] = mean_iou(common, union)
        metrics["accuracy"] = float(common.sum() / max(wanted.sum(), 1))
    if "label" in joined:
        counts = np.bincount(joined.pop("label").astype(int))
        metrics["accuracy_identity"] = float(counts.max() / counts.sum())
    return {key: float(np.mean(value)) for key, value in joined.items()} | metrics


def to_uint8(images: np.ndarray | jax.Array) -> np.ndarray:
    """[0, 1] -> 0..255."""
    return np.round(255 * np.clip(np.asarray(images), 0, 1)).astype(np.uint8)
