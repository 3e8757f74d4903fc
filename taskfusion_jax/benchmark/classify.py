"""Works of networks that classify images (ViT) or each of their pixels (U-Net)."""

import math
from collections.abc import Callable, Mapping

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from taskfusion_jax.benchmark import flops
from taskfusion_jax.benchmark.programs import Forward, supervised_step
from taskfusion_jax.benchmark.work import Work
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.registry import DTYPES
from taskfusion_jax.models.unet import UNet
from taskfusion_jax.models.vit import ViT


class Classifier:
    """Forward, and a training step of cross-entropy and Adam, on noise and random labels.

    A network needs no more than `_net`, `_flops` and a twin of its name. See
    `workloads.Workload`.

    Attributes:
      config: `name`, `seed`, `dtype`, `network`, `data.size`, `optimiser.lr`.
      batch: images per call.
      dtype: of the compute.
    """

    twin_name = ""
    dense = False  # a label for each pixel instead of one for each image

    def __init__(self, config: ConfigDict, batch: int, stage: str | None):
        """Raises UserError for an unknown dtype, or a stage: there are none."""
        if config.dtype not in DTYPES:
            hint = did_you_mean(config.dtype, DTYPES)
            raise UserError(f"config.dtype: no '{config.dtype}'{hint}")
        if stage is not None:
            raise UserError(f"--stage={stage}: {config.name} has no stages")
        self.config, self.batch, self.dtype = config, batch, DTYPES[config.dtype]
        self.net = self._net(config.network)
        rng, size = np.random.default_rng(config.seed), config.data.size
        self._x = rng.random((batch, size, size, 3), np.float32)
        labels = (batch, size, size) if self.dense else (batch,)
        self._labels = rng.integers(0, config.network.classes, labels, np.int32)
        self._params = self._moved_params(rng)

    def _net(self, options: ConfigDict):
        """The network of `config.network`."""
        raise NotImplementedError

    def _flops(self) -> float:
        """Of a forward pass of the batch, by definition."""
        raise NotImplementedError

    def pipeline(self) -> None:
        """There is none."""

    def works(self) -> Mapping[str, Callable[[], Work]]:
        """Name -> what makes the work."""
        return {"forward": self._forward, "train_step": self._train_step}

    def _moved_params(self, rng: np.random.Generator) -> dict:
        """Weights of the usual size for their layer; none is zero, so that none hides another."""
        image = jax.ShapeDtypeStruct(self._x.shape, self._x.dtype)
        shapes = jax.eval_shape(self.net.init, jax.random.key(0), image)["params"]

        def draw(leaf):
            fan_in = max(1, math.prod(leaf.shape[:-1]))
            weights = rng.standard_normal(leaf.shape, np.float32) / math.sqrt(fan_in)
            return weights if leaf.ndim > 1 else 0.1 * weights + (leaf.ndim == 1)

        return jax.tree.map(draw, shapes)

    def _apply(self, params: dict, x: jax.Array) -> jax.Array:
        return self.net.apply({"params": params}, x)

    def _loss(self, params: dict, x: jax.Array, labels: jax.Array) -> jax.Array:
        logits = self._apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def _forward(self) -> Work:
        def twin():
            from taskfusion_jax.benchmark.twins import classify

            return classify.forward(self.twin_name, self.config, self._params, self._x)

        return Work(
            "forward",
            self.batch,
            self._flops(),
            lambda: Forward(self._apply, self._params, self._x),
            twin,
            flops.count(self._apply, self._params, self._x),
        )

    def _train_step(self) -> Work:
        rate, batch = self.config.optimiser.lr, (self._x, self._labels)

        def twin():
            from taskfusion_jax.benchmark.twins import classify

            return classify.step(self.twin_name, self.config, self._params, *batch, rate)

        return Work(
            "train_step",
            self.batch,
            3 * self._flops(),
            lambda: supervised_step(self._loss, self._params, batch, rate),
            twin,
            note="cross-entropy and Adam",
        )


class UNetWorks(Classifier):
    """`config.method=unet`: the U-Net of paper 003 with a label for each pixel."""

    twin_name, dense = "unet", True

    def _net(self, options: ConfigDict) -> UNet:
        return UNet(options.classes, tuple(options.widths), self.dtype)

    def _flops(self) -> float:
        return unet_flops(self.config.network, self._x.shape)


class ViTWorks(Classifier):
    """`config.method=vit`: a ViT with its published size."""

    twin_name = "vit"

    def _net(self, options: ConfigDict) -> ViT:
        return ViT.variant(options.variant, classes=options.classes, dtype=self.dtype)

    def _flops(self) -> float:
        return vit_flops(self.net, self._x.shape)


def unet_flops(options: ConfigDict, shape: tuple[int, ...]) -> float:
    """FLOPs of the U-Net's convolutions, with padding counted as pixels, as is the custom.

    Args:
      options: `config.network`.
      shape: of the images, [B, H, W, 3].
    """
    widths, last = options.widths, len(options.widths) - 1
    total, below = widths[0] * options.classes, widths[-1]
    for level, width in enumerate(widths):
        inputs = widths[level - 1] if level else 3
        total += 9 * (inputs * width + width * width) / 4**level
    for level in reversed(range(last)):
        # A pixel of the enlarged map is one product with a pixel of the map below.
        features = widths[max(level - 1, 0)]
        convs = 9 * ((below + widths[level]) * features + features * features)
        total += (below * below + convs) / 4**level
        below = features
    batch, height, width, _ = shape
    return 2.0 * batch * height * width * total


def vit_flops(net: ViT, shape: tuple[int, ...]) -> float:
    """FLOPs of a ViT's dense layers and attention products.

    Args:
      net: the network.
      shape: of the images, [B, H, W, 3].
    """
    batch, height, width, channels = shape
    patches = (height // net.patch) * (width // net.patch)
    tokens, d = patches + 1, net.width
    block = 12 * tokens * d * d + 2 * tokens * tokens * d  # qkv, proj, MLP; scores and values
    embedding = patches * net.patch**2 * channels * d
    return 2.0 * batch * (embedding + net.depth * block + d * net.classes)
