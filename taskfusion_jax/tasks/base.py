"""What a task is: how its input is made, what its output is compared with, what it costs."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.errors import UserError

RESERVED = "shared"
"""The one name that no task has: a file of what tasks share has it."""
Stylise = Callable[[jax.Array, np.ndarray], jax.Array]
"""A teacher network: (images [B, H, W, 3], task vector [slots]) -> images, gradients stopped."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One function the network learns. Subclasses change what differs from reconstruction.

    Attributes:
      name: its name in configs, results and on the command line.
      active: slots of the task vector that ask for it; none = the zero vector.
      slots: width of the task vector.
      loss: term -> weight (the terms are listed in `tasks/losses.py`).
    """

    name: str
    active: tuple[int, ...]
    slots: int
    loss: Mapping[str, float]

    needs_mask: ClassVar[bool] = False
    has_target: ClassVar[bool] = True  # False: judged by losses alone, as style transfer is
    damages: ClassVar[bool] = False  # True: it undoes what `corrupt` does
    keeps_classes: ClassVar[bool] = False  # True: its mask holds class ids, not 0 and 1
    classes: ClassVar[int] = 0  # how many it tells apart; 0 = its output is an image
    gives: ClassVar[frozenset[str]] = frozenset({"pixels"})  # what loss terms may ask for
    makes_image: ClassVar[bool] = True  # or something else of an image
    labels: ClassVar[int] = 0  # how many classes of images it tells apart; 0 = none
    target_of: ClassVar[str] = "clean"  # or input: which image of the batch `target` starts from

    def learnt_by(self, combine: str) -> tuple["Task", ...]:
        """What its rows are judged as in a stage that combines tasks by M1, M2, M3 or M4."""
        return (self,)

    @property
    def vector(self) -> np.ndarray:
        """The task vector at full strength, float32 [slots]."""
        c = np.zeros(self.slots, np.float32)
        c[list(self.active)] = 1
        return c

    @property
    def slot(self) -> int:
        """Of a single task; 0 for what the zero vector asks for."""
        return self.active[0] if self.active else 0

    @property
    def channels(self) -> int:
        """Of the output that it reads; a network of more has them first."""
        return 3

    @property
    def cuts(self) -> bool:
        """Whether the output is an image with all but its objects filled with one colour."""
        return False

    def corrupt(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """Makes the input from the clean image, on the host. uint8 [H, W, 3] -> the same."""
        return image

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """What the output should be. clean: [B, H, W, 3] in [0, 1]; mask: [B, H, W] 0, 1, 255."""
        return clean

    def show(self, output: jax.Array, given: jax.Array) -> jax.Array:
        """The image that an output (or a target) stands for, [B, H, W, 3] in [0, 1].

        output: [B, H, W, channels]; given: the input, [B, H, W, 3] in [0, 1].
        """
        return jnp.clip(output, 0, 1)

    def check_clean(self, image: np.ndarray, name: str) -> None:
        """Raises UserError where an image of the data, uint8 [H, W, 3], teaches it nothing."""

    def check_input(self, images: jax.Array, name: str) -> None:
        """Raises UserError where the task does not suit a user's images, [B, H, W, 3], uint8 or
        float in [0, 1]."""

    def uncut(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """The target before anything is cut out of it; [B, H, W, 3] in [0, 1]."""
        return self.target(clean, mask, stylise)


def check_name(name: str) -> None:
    """Raises UserError for a task's name that cannot be the name of its files."""
    if not re.fullmatch(r"\w[\w.-]*", name) or name.lower() == RESERVED:
        raise UserError(
            f"a task named {name!r} can have no file: a name is letters, digits, '_', '-' and '.', "
            f"and not '{RESERVED}'"
        )
