"""The features that a Frechet distance compares: InceptionV3's, or VGG16's without its weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.models.inception_v3 import InceptionV3
from taskfusion_jax.models.vgg16 import VGG16, pooled
from taskfusion_jax.porting.inception_v3 import load_inception_v3


class Features(NamedTuple):
    """What maps images to vectors.

    Attributes:
      name: printed beside every distance.
      weights: first argument of `compute`.
      compute: (weights, x [B, H, W, 3] in [0, 1]) -> [B, D] float32.
    """

    name: str
    weights: Any
    compute: Callable[[Any, jax.Array], jax.Array]


def frechet_features(options: ConfigDict, vgg16: Any) -> Features | None:
    """The features that `config.evaluate` asks for; None = no Frechet distance.

    Args:
      options: `inception`, a file of FID weights or empty; `frechet_layers`, of VGG16.
      vgg16: parameters of `VGG16`.

    Raises:
      UserError: the file is not there or holds something else.
    """
    if options.inception:
        net = InceptionV3()

        def compute(weights, x):
            # Published distances are of 8-bit image files.
            return net.apply({"params": weights}, jnp.round(255 * x) / 255)

        weights = jax.device_put(load_inception_v3(options.inception))
        return Features("FID: InceptionV3, pool3", weights, compute)
    if not options.frechet_layers:
        return None
    layers = tuple(options.frechet_layers)
    vgg = VGG16(layers=layers)
    name = f"mean-pooled VGG16 {', '.join(layers)}"
    return Features(name, vgg16, lambda w, x: pooled(vgg.apply({"params": w}, x)))
