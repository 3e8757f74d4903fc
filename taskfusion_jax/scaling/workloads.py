"""What is scaled: networks whose parameters and FLOPs are counted from their definition."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from taskfusion_jax.benchmark import flops
from taskfusion_jax.engine import names
from taskfusion_jax.models.patch_gan import PatchGAN
from taskfusion_jax.models.transform_net import TransformNet
from taskfusion_jax.models.vit import ViT


@dataclasses.dataclass(frozen=True)
class Workload:
    """A training step, per image.

    Attributes:
      title: what it is.
      parameters: that move, so whose gradients are exchanged, 4 bytes each.
      flops: of forward and backward pass, per image.
      rows: images per device where that number is fixed.
      batch: images on all devices where that number is fixed.
    """

    title: str
    parameters: int
    flops: float
    rows: int
    batch: int

    @property
    def size(self) -> int:
        """Bytes of the gradients."""
        return 4 * self.parameters


def film() -> Workload:
    """The paper's network and its discriminator at 128x128."""
    image, c = _image(128), jax.ShapeDtypeStruct((1, 6), jnp.float32)
    net, critic = _counts(TransformNet(), image, c), _counts(PatchGAN(), image, c)
    title = "FiLM network with its discriminator, 128x128"
    return Workload(title, net[0] + critic[0], net[1] + critic[1], rows=32, batch=1024)


def vit_b16() -> Workload:
    """ViT-B/16 at 224x224 with 1000 classes."""
    return Workload("ViT-B/16, 224x224", *_counts(ViT.variant("B/16"), _image(224)), 64, 4096)


WORKLOADS: dict[str, Callable[[], Workload]] = {"film": film, "vit_b16": vit_b16}
"""Name -> what makes the workload; 4096 is the batch of the ViT paper, 32 the FiLM paper's."""


def _image(side: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)


def _counts(net: nn.Module, *inputs: jax.ShapeDtypeStruct) -> tuple[int, float]:
    """Parameters, and FLOPs of a gradient's products and convolutions; nothing is computed."""
    variables = jax.eval_shape(net.init, jax.random.key(0), *inputs)

    def loss(variables, *inputs):
        return jnp.square(net.apply(variables, *inputs)).mean()

    return names.size(variables), flops.count(jax.grad(loss), variables, *inputs)
