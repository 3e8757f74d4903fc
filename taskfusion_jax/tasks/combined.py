"""Combined tasks: several done in one pass (paper 004, section 3.3, figure 3)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.metrics.iou import foreground
from taskfusion_jax.tasks.base import Stylise, Task


@dataclasses.dataclass(frozen=True)
class Combined(Task):
    """Parts joined with `+` in its name; its task vector is theirs, added.

    Attributes:
      parts: the tasks in the order in which they apply.
      by: `sequential` applies each part to the target of the one before; `mask` lets the part
        that cuts objects out come last.
    """

    parts: tuple[Task, ...]
    by: str

    @property
    def needs_mask(self) -> bool:
        return any(part.needs_mask for part in self.parts)

    def learnt_by(self, combine: str) -> tuple[Task, ...]:
        """M2 adds its parts' losses, unweighted; M3 has a synthetic target (paper 004, section
        3.3); M4, ours, the teacher's own outputs, one task after another."""
        if combine == "M4":
            return (Chained(**vars(self)),)
        return self.parts if combine == "M2" else (self,)

    @property
    def order(self) -> tuple[Task, ...]:
        """Its parts as they are applied."""
        parts = self.parts
        return tuple(sorted(parts, key=lambda part: part.cuts)) if self.by == "mask" else parts

    @property
    def cuts(self) -> bool:
        return any(part.cuts for part in self.parts)

    def corrupt(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> the same with every part's damage."""
        for part in self.parts:
            image = part.corrupt(rng, image)
        return image

    def check_clean(self, image: np.ndarray, name: str) -> None:
        """As each part does."""
        for part in self.parts:
            part.check_clean(image, name)

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """The synthetic target of method M3, [B, H, W, 3]."""
        for part in self.order:
            clean = part.target(clean, mask, stylise)
        return clean

    def uncut(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """The target of all parts but those that cut, [B, H, W, 3]."""
        for part in self.parts:
            clean = part.uncut(clean, mask, stylise)
        return clean


class Chained(Combined):
    """A combined task whose target needs no ground truth, but the teacher's outputs for its parts.

    f(x, a + b) should be f(f(x, a), b), every part asked for what it was trained on: damage is
    undone in the reverse of the order in which it was done, then the image is painted, and what
    the teacher cuts out of the undamaged image is cut out of the painted one.
    """

    needs_mask = False
    target_of = "input"

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """What the teacher makes of the input, part by part, [B, H, W, 3]. clean: the input."""
        for part in reversed([part for part in self.parts if part.damages]):
            clean = jnp.clip(stylise(clean, part.vector), 0, 1)
        whole = clean
        for part in self.parts:
            if not (part.damages or part.cuts):
                whole = jnp.clip(stylise(whole, part.vector), 0, 1)
        for part in self.parts:
            if part.cuts:
                kept = foreground(stylise(clean, part.vector), clean, part.fill)
                fill = jnp.asarray(part.fill, jnp.float32).reshape(1, 1, 1, 3)
                whole = jnp.where(kept[..., None], whole, fill)
        return whole


def parts_of(task: Task) -> tuple[Task, ...]:
    """The single tasks that a task asks for."""
    return task.parts if isinstance(task, Combined) else (task,)
