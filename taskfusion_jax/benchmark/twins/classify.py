"""Works of the twins that classify: U-Net and ViT, cross-entropy and Adam."""

import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import nn

from taskfusion_jax.benchmark.twins import unet, vit
from taskfusion_jax.benchmark.twins.program import Twin, images
from taskfusion_jax.benchmark.twins.training import Loss, adam
from taskfusion_jax.benchmark.twins.weights import load
from taskfusion_jax.engine import names

NETWORKS = {"unet": (unet.build, ("nchw", "channels_last")), "vit": (vit.build, ("nchw",))}
"""Name -> what builds it, and layouts worth trying: a ViT's images end at its first layer."""


def _network(name: str, config: ConfigDict, params: dict) -> tuple[nn.Module, tuple[str, ...]]:
    build, layouts = NETWORKS[name]
    return load(build(config), names.flatten(params)), layouts


def forward(name: str, config: ConfigDict, params: dict, x: np.ndarray) -> Twin:
    """The network `name` of `NETWORKS`. x: [B, H, W, 3]."""
    net, layouts = _network(name, config, params)
    return Twin(net, (images(x),), layouts=layouts)


def step(
    name: str, config: ConfigDict, params: dict, x: np.ndarray, labels: np.ndarray, lr: float
) -> Twin:
    """A step of Adam on the cross-entropy. labels: int32 [B] or [B, H, W]."""
    net, layouts = _network(name, config, params)
    inputs = (images(x), torch.from_numpy(labels).long())
    return Twin(Loss(net, F.cross_entropy), inputs, adam(lr), layouts=layouts)
