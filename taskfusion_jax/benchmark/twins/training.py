"""What every training step in PyTorch is made of: a loss around a network, and Adam."""

import re
from collections.abc import Callable

import torch
from ml_collections import ConfigDict
from torch import nn

from taskfusion_jax.benchmark.twins.weights import flax_names
from taskfusion_jax.engine.names import by_rules

Optimise = Callable[[nn.Module], torch.optim.Optimizer]


class Loss(nn.Module):
    """`loss(*inputs, target)` = `judge(net(*inputs), target)`."""

    def __init__(self, net: nn.Module, judge: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
        super().__init__()
        self.net, self.judge = net, judge

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """The last tensor is the target."""
        *inputs, target = batch
        return self.judge(self.net(*inputs), target)


def freeze(module: nn.Module, trainable: str) -> None:
    """Of the parameters that move, only those whose Flax name matches go on doing so."""
    names = flax_names(module)
    for name, parameter in module.named_parameters():
        if name in names and not re.fullmatch(trainable, names[name]):
            parameter.requires_grad_(False)


def adam(lr: float, options: ConfigDict | None = None) -> Optimise:
    """Adam as `engine.optimiser` builds it: rate and decay by name, clipping; one fused kernel.

    Args:
      lr: learning rate, held constant: schedules cost nothing.
      options: `config.optimiser`; None = plain Adam.
    """

    def build(module: nn.Module) -> torch.optim.Optimizer:
        names = flax_names(module)
        moving = {names[n]: p for n, p in module.named_parameters() if p.requires_grad}
        if options is None:
            return torch.optim.Adam(moving.values(), lr, fused=True)
        rates = by_rules(moving, options.lr_rules, 1.0, "config.optimiser.lr_rules")
        decays = by_rules(moving, options.decay_rules, 0.0, "config.optimiser.decay_rules")
        groups = {}
        for name, parameter in moving.items():
            groups.setdefault((rates[name], decays[name]), []).append(parameter)
        adamw = torch.optim.AdamW(
            [
                {"params": parameters, "lr": lr * rate, "weight_decay": decay}
                for (rate, decay), parameters in groups.items()
            ],
            betas=(options.b1, options.b2),
            fused=True,
        )

        def clip(*_):  # a hook that returned the norm would change the step's arguments
            nn.utils.clip_grad_norm_(moving.values(), options.clip_norm)

        if options.clip_norm:
            adamw.register_step_pre_hook(clip)
        return adamw

    return build
