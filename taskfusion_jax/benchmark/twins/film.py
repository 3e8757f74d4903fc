"""FiLM fusion's works in PyTorch."""

import functools
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import nn

from taskfusion_jax.benchmark.twins.judges import VGG16, PatchGAN
from taskfusion_jax.benchmark.twins.layers import DTYPES
from taskfusion_jax.benchmark.twins.objective import Objective
from taskfusion_jax.benchmark.twins.program import Twin, images
from taskfusion_jax.benchmark.twins.training import Loss, adam, freeze
from taskfusion_jax.benchmark.twins.transform_net import TransformNet
from taskfusion_jax.benchmark.twins.weights import load
from taskfusion_jax.engine import names
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.methods.backbone import without
from taskfusion_jax.stages import Stage
from taskfusion_jax.tasks.objective import Objective as Ours


def network(config: ConfigDict, params: dict) -> nn.Module:
    """The network of `config` with the weights `params`."""
    options = without(config.network.to_dict(), "weights")
    net = TransformNet(config.slots, DTYPES[config.dtype], **options)
    return load(net, names.flatten(params))


def forward(config: ConfigDict, params: dict, x: np.ndarray, c: np.ndarray) -> Twin:
    """The network alone. x: [B, H, W, 3], c: [B, slots]."""
    return Twin(network(config, params), (images(x), torch.from_numpy(c)))


def l2_step(
    config: ConfigDict, params: dict, x: np.ndarray, c: np.ndarray, target: np.ndarray, lr: float
) -> Twin:
    """A step of Adam on the mean squared error to `target`, [B, H, W, 3]."""
    loss = Loss(network(config, params), lambda y, target: ((y - target) ** 2).mean())
    return Twin(loss, (images(x), torch.from_numpy(c), images(target)), adam(lr))


def full_step(experiment: Experiment, stage: Stage, ours: Ours, weights: Any, batch: dict) -> Twin:
    """The stage's own step: all losses, and all that moves.

    Args:
      experiment: what the config stands for.
      stage: whose step.
      ours: the objective of which this is the twin.
      weights: (state.params, teacher's parameters, constants) as NumPy arrays.
      batch: as ours takes it.
    """
    config, (params, teacher, constants) = experiment.config, weights
    dtype = DTYPES[config.dtype]
    objective = Objective(
        network(config, params["net"]), ours.entries, ours.vectors, constants.get("grams", {})
    )
    if config.teacher != "self":
        objective.teacher = network(config, teacher).requires_grad_(False)
    if config.ema:
        is_teacher = config.teacher == "ema"
        average = objective.teacher if is_teacher else network(config, params["net"])
        objective.average = average.requires_grad_(False)
    if "critic" in params:
        critic = PatchGAN(config.slots, dtype, **config.critic)
        objective.critic = load(critic, names.flatten(params["critic"]))
    if constants:
        vgg = VGG16(experiment.vgg.layers, dtype)
        weights = names.flatten({conv: constants["vgg"][conv] for conv in vgg.convs})
        objective.vgg = load(vgg, weights).requires_grad_(False)
    freeze(objective, stage.options.trainable)
    return Twin(
        objective,
        _tensors(batch),
        adam(stage.options.lr, config.optimiser),
        functools.partial(_follow, decay=config.ema) if config.ema else None,
    )


def _tensors(batch: dict[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """input, clean [B, 3, H, W] and mask [B, 1, H, W]; groups lie one behind another."""
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in batch.items()}
    return images(flat["input"]), images(flat["clean"]), images(flat["mask"][..., None])


@torch.no_grad()
def _follow(objective: nn.Module, decay: float) -> None:
    """Moves the averaged network a little towards the network."""
    average, net = (list(m.parameters()) for m in (objective.average, objective.net))
    torch._foreach_lerp_(average, net, 1 - decay)
