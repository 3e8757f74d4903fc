"""The loss of a whole batch: one pass of the network, then each task's terms on its own rows."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from taskfusion_jax.data.arrays import to_unit
from taskfusion_jax.models.patch_gan import PatchGAN
from taskfusion_jax.models.vgg16 import VGG16
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.losses import PERCEPTUAL, TERMS, Rows
from taskfusion_jax.tasks.segmentation import ignore_void

Batch = Mapping[str, jax.Array]
Apply = Callable[[Any, jax.Array, np.ndarray], jax.Array]
Aside = Callable[[Any, jax.Array, np.ndarray], dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Judged:
    """Rows `first:last` of every group, asked for as `asked`, judged as `task`."""

    asked: Task
    task: Task
    first: int
    last: int

    @property
    def name(self) -> str:
        """Prefix of this entry's metrics."""
        same = self.asked.name == self.task.name
        return self.asked.name if same else f"{self.asked.name}:{self.task.name}"


def layout(rows: Mapping[str, int], tasks: Mapping[str, Task], combine: str) -> list[Judged]:
    """Which rows of a group are judged as what.

    A task may be judged as several: under M2 a combined task's rows are judged as all its parts.
    """
    entries, first = [], 0
    for name, task in tasks.items():
        count = rows.get(name, 0)
        judged = task.learnt_by(combine) if count else ()
        entries += [Judged(task, part, first, first + count) for part in judged]
        first += count
    return entries


class Objective:
    """`objective(params, teacher, constants, batch)` -> (loss, metrics), for one stage.

    Every term sees the same single forward pass. Generator and discriminator are trained by the
    same gradient: each one's loss sees the other behind `stop_gradient`.

    Attributes:
      apply: (network parameters, x, c) -> y.
      critic: the discriminator, whose parameters are `params["critic"]`.
      vgg: the feature network, whose parameters are `constants["vgg"]`.
      entries: the layout of a group of rows.
      aside: (network parameters, x, c) -> loss terms of the method's own.
      vectors: float32 [rows, slots], the task vector of each row of a group.
    """

    def __init__(
        self,
        apply: Apply,
        critic: PatchGAN,
        vgg: VGG16,
        entries: list[Judged],
        aside: Aside = lambda params, x, c: {},
    ):
        self.apply, self.critic, self.vgg, self.entries = apply, critic, vgg, entries
        self.aside = aside
        rows = max(entry.last for entry in entries)
        self.vectors = np.zeros((rows, entries[0].asked.slots), np.float32)
        for entry in entries:
            self.vectors[entry.first : entry.last] = entry.asked.vector

    def __call__(self, params: dict, teacher: Any, constants: dict, batch: Batch):
        """See `Rows` for the arrays; batch: input, clean uint8 [G, R, H, W, 3], mask [G, R, H, W],
        label int32 [G, R, 2], share float32 [G, R].

        Returns:
          The scalar loss, and scalar metrics `task/term`, `critic/loss` and `loss`.
        """
        groups = batch["input"].shape[0]
        inputs = to_unit(rearrange(batch["input"], "g r h w c -> (g r) h w c"))
        vectors = np.tile(self.vectors, (groups, 1))
        outputs = self.apply(params["net"], inputs, vectors)
        outputs = rearrange(outputs, "(g r) ... -> g r ...", g=groups)
        views = [self._rows(entry, outputs, teacher, batch) for entry in self.entries]
        self._add_features(views, constants, groups)
        metrics = self._add_critic(views, params, groups)
        metrics |= self.aside(params["net"], inputs, vectors)
        loss = sum(metrics.values())
        for entry, view in zip(self.entries, views, strict=True):
            for term, weight in entry.task.loss.items():
                value = TERMS[term](view)
                metrics[f"{entry.name}/{term}"] = value
                loss += weight * value
        return loss, {**metrics, "loss": loss}

    def _rows(self, entry: Judged, outputs: jax.Array, teacher: Any, batch: Batch) -> Rows:
        def take(x):
            return rearrange(x[:, entry.first : entry.last], "g r ... -> (g r) ...")

        def stylise(images, vector):
            c = np.tile(vector[None], (images.shape[0], 1))
            return jax.lax.stop_gradient(self.apply(teacher, images, c)[..., :3])

        clean, mask = to_unit(take(batch["clean"])), take(batch["mask"])
        start = to_unit(take(batch[entry.task.target_of]))
        target = entry.task.target(start, mask, stylise)
        output = take(outputs)[..., : entry.task.channels]
        return Rows(
            entry.task, output, clean, target, mask, take(batch["label"]), take(batch["share"])
        )

    def _add_features(self, views: list[Rows], constants: dict, groups: int) -> None:
        """One pass of VGG16 over all rows that any perceptual term looks at."""
        chosen = [view for view in views if PERCEPTUAL & set(view.task.loss)]
        if not chosen:
            return
        made = self._features(constants, [view.output for view in chosen], groups)
        wanted = self._features(constants, [view.clean for view in chosen], groups)
        for view, features, clean_features in zip(chosen, made, wanted, strict=True):
            view.features, view.clean_features = features, clean_features
            view.painting_grams = constants["grams"][view.task.name]

    def _features(
        self, constants: dict, images: list[jax.Array], groups: int
    ) -> list[dict[str, jax.Array]]:
        joined = _join(images, groups)
        features = self.vgg.apply({"params": constants["vgg"]}, joined)
        split = {layer: _part(x, images, groups) for layer, x in features.items()}
        return [{layer: split[layer][i] for layer in split} for i in range(len(images))]

    def _add_critic(self, views: list[Rows], params: dict, groups: int) -> dict[str, jax.Array]:
        """Judges all adversarial rows at once; returns the discriminator's own loss (LSGAN)."""
        chosen = [view for view in views if "adversarial" in view.task.loss]
        if not chosen:
            return {}
        made = [
            ignore_void(view.output, view.target, view.mask)
            if view.task.needs_mask
            else view.output
            for view in chosen
        ]
        fake, real = _join(made, groups), _join([view.target for view in chosen], groups)
        vectors = [jnp.tile(view.task.vector[None], (len(view.output), 1)) for view in chosen]
        c = _join(vectors, groups)

        def judge(critic, images):
            return self.critic.apply({"params": critic}, images, c)

        verdict = judge(jax.lax.stop_gradient(params["critic"]), fake)
        for view, part in zip(chosen, _part(verdict, made, groups), strict=True):
            view.critic = part
        on_real = judge(params["critic"], real)
        on_fake = judge(params["critic"], jax.lax.stop_gradient(fake))
        return {"critic/loss": jnp.mean((on_real - 1) ** 2) + jnp.mean(on_fake**2)}


def _join(arrays: list[jax.Array], groups: int) -> jax.Array:
    """Joins `[groups x rows, ...]` arrays within each group, so that no row changes its device."""
    grouped = [rearrange(x, "(g r) ... -> g r ...", g=groups) for x in arrays]
    return rearrange(jnp.concatenate(grouped, axis=1), "g r ... -> (g r) ...")


def _part(joined: jax.Array, like: list[jax.Array], groups: int) -> list[jax.Array]:
    """The inverse of `_join`, with as many rows each as in `like`."""
    ends = np.cumsum([len(x) // groups for x in like])[:-1]
    parts = jnp.split(rearrange(joined, "(g r) ... -> g r ...", g=groups), ends, axis=1)
    return [rearrange(x, "g r ... -> (g r) ...") for x in parts]
