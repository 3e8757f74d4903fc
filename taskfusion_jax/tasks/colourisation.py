"""Colourisation: from a gray image to its chroma (paper 003, task 3)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.data.arrays import to_bytes
from taskfusion_jax.errors import UserError
from taskfusion_jax.tasks.base import Stylise, Task

# ITU-R BT.601 in full range, as JPEG has it, with chroma around 0 (in place of 128 of 255).
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_TO_RGB = np.linalg.inv(_TO_YCC).astype(np.float32)


def to_ycc(rgb: jax.Array) -> jax.Array:
    """RGB [..., 3] in [0, 1] -> Y in [0, 1], Cb and Cr in [-0.5, 0.5]."""
    return jnp.matmul(rgb, _TO_YCC.T, precision="highest")


def to_rgb(ycc: jax.Array) -> jax.Array:
    """The inverse of `to_ycc`; may leave [0, 1]."""
    return jnp.matmul(ycc, _TO_RGB.T, precision="highest")


@dataclasses.dataclass(frozen=True)
class Colourisation(Task):
    """Adds colour to a gray image, whose lightness is kept in what is shown.

    Attributes:
      rgb: the network makes an image, of which the chroma counts, for networks that make images
        only; otherwise it makes Cb and Cr alone.
      gray: keep or refuse gray photographs of the data. Most sets have some, and they teach the
        network to leave things gray.
    """

    rgb: bool
    gray: str

    def __post_init__(self):
        """Raises UserError for another word."""
        if self.gray not in ("keep", "refuse"):
            field = f"config.tasks.{self.name}.gray"
            raise UserError(f"{field}: '{self.gray}' is neither keep nor refuse")

    @property
    def channels(self) -> int:
        return 3 if self.rgb else 2

    def corrupt(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> its lightness, three times."""
        gray = np.round(image.astype(np.float32) @ _TO_YCC[0]).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=-1)

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """The image itself or its Cb and Cr, [B, H, W, channels]."""
        return clean if self.rgb else to_ycc(clean)[..., 1:]

    def show(self, output: jax.Array, given: jax.Array) -> jax.Array:
        """The chroma of the output with the lightness of the input."""
        chroma = to_ycc(output)[..., 1:] if self.rgb else output
        return jnp.clip(to_rgb(jnp.concatenate([to_ycc(given)[..., :1], chroma], axis=-1)), 0, 1)

    def check_clean(self, image: np.ndarray, name: str) -> None:
        """Raises UserError for a gray photograph where those are refused."""
        if self.gray == "refuse" and is_gray(image):
            raise UserError(
                f"{name} is a gray image, from which {self.name} learns no colours: remove it, or "
                f"set config.tasks.{self.name}.gray=keep"
            )

    def check_input(self, images: jax.Array, name: str) -> None:
        """Raises UserError for images in colour."""
        if not is_gray(to_bytes(np.asarray(images))):
            raise UserError(
                f"{name} is in colour, but {self.name} takes gray images: ask for another task, or "
                "make it gray first"
            )


def is_gray(image: np.ndarray) -> bool:
    """Whether an image [..., 3] in 0..255 has no colour beyond rounding."""
    return int(np.ptp(image.astype(np.int16), axis=-1).max()) <= 2
