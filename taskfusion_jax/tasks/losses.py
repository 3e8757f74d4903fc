"""Loss terms: pure formulas on one task's rows. The config weighs them per task."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from taskfusion_jax.models.vgg16 import gram
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.segmentation import VOID


@dataclasses.dataclass
class Rows:
    """One task's rows of a batch, with what its loss terms need.

    Attributes:
      task: the task that the rows are judged by.
      output, target: [B, H, W, channels of the task], images in [0, 1].
      clean: [B, H, W, 3] in [0, 1].
      mask: [B, H, W], 0 background, 1 object, 255 void; class ids where the task keeps them.
      label: [B, 2], class of the image, and of the one mixed into it; share: [B], of the former.
      features, clean_features: VGG16 maps of output and clean image, where a term needs them.
      painting_grams: Gram matrices [1, C, C] of the task's painting by layer, likewise.
      critic: the discriminator's verdict on the output, [B, h, w, 1], likewise.
    """

    task: Task
    output: jax.Array
    clean: jax.Array
    target: jax.Array
    mask: jax.Array
    label: jax.Array | None = None
    share: jax.Array | None = None
    features: Mapping[str, jax.Array] | None = None
    clean_features: Mapping[str, jax.Array] | None = None
    painting_grams: Mapping[str, jax.Array] | None = None
    critic: jax.Array | None = None


CONTENT_LAYER = "relu2_2"
"""Where content is compared (Johnson et al. 2016)."""


def l2(rows: Rows) -> jax.Array:
    """Mean over images of each one's mean squared error to its target; void pixels are left out of
    tasks that need masks. (A mean over all valid pixels would depend on how rows are divided.)"""
    return _mean(jnp.mean((rows.output - rows.target) ** 2, axis=-1), rows)


def l1(rows: Rows) -> jax.Array:
    """As `l2`, of absolute differences."""
    return _mean(jnp.mean(jnp.abs(rows.output - rows.target), axis=-1), rows)


def cross_entropy(rows: Rows) -> jax.Array:
    """Of class scores, in nats: the mean over images of each one's mean over pixels not void."""
    ids = jnp.minimum(rows.mask, rows.task.classes - 1).astype(jnp.int32)
    return _mean(optax.softmax_cross_entropy_with_integer_labels(rows.output, ids), rows)


def label_cross_entropy(rows: Rows) -> jax.Array:
    """Of an image's class scores, in nats; a mixed image has both classes (Zhang et al. 2018)."""

    def one(label):
        return optax.softmax_cross_entropy_with_integer_labels(rows.output, label)

    first, second = one(rows.label[:, 0]), one(rows.label[:, 1])
    return jnp.mean(rows.share * first + (1 - rows.share) * second)


def _mean(error: jax.Array, rows: Rows) -> jax.Array:
    """Of [B, H, W] over pixels, leaving out void ones where the task needs masks."""
    if not rows.task.needs_mask:
        return jnp.mean(error)
    valid = (rows.mask != VOID).astype(error.dtype)
    pixels = jnp.maximum(jnp.sum(valid, axis=(1, 2)), 1)
    return jnp.mean(jnp.sum(error * valid, axis=(1, 2)) / pixels)


def content(rows: Rows) -> jax.Array:
    """Mean squared difference of VGG16 relu2_2 features to the clean image's."""
    made, wanted = rows.features[CONTENT_LAYER], rows.clean_features[CONTENT_LAYER]
    return jnp.mean((made - wanted) ** 2, dtype=jnp.float32)


def style(rows: Rows) -> jax.Array:
    """Squared Frobenius distance of Gram matrices to the painting's, summed over layers."""
    total = 0.0
    for layer, wanted in rows.painting_grams.items():
        distance = jnp.sum((gram(rows.features[layer]) - wanted) ** 2, axis=(1, 2))
        total += jnp.mean(distance)
    return total


def adversarial(rows: Rows) -> jax.Array:
    """Least-squares GAN: how far the discriminator is from calling the output real."""
    return jnp.mean((rows.critic - 1) ** 2)


def smooth(rows: Rows) -> jax.Array:
    """Total variation: mean squared difference of neighbouring pixels."""
    y = rows.output
    return jnp.mean((y[:, 1:] - y[:, :-1]) ** 2) + jnp.mean((y[:, :, 1:] - y[:, :, :-1]) ** 2)


TERMS = {
    f.__name__: f
    for f in (
        *(l1, l2, adversarial, smooth),
        *(content, style),
        *(cross_entropy, label_cross_entropy),
    )
}
PERCEPTUAL = frozenset({"content", "style"})
NEEDS = {
    **dict.fromkeys(("l1", "l2", "adversarial", "smooth"), "pixels"),
    **dict.fromkeys(PERCEPTUAL, "a painting"),
    "cross_entropy": "scores of pixels",
    "label_cross_entropy": "scores of an image",
}
"""Term -> what a task must give for it, see `Task.gives`."""
