"""Flax parameters into a twin whose modules have the same names: strict in both directions."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from taskfusion_jax.benchmark.work import Result
from taskfusion_jax.errors import UserError

_KERNELS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_NORMS = (nn.LayerNorm, nn.GroupNorm)


def flax_names(module: nn.Module) -> dict[str, str]:
    """PyTorch's name of every parameter that moves -> Flax's.

    `down_0.conv.weight` becomes `down_0/conv/kernel`.
    """
    names = {}
    for path, owner in module.named_modules():
        for leaf, parameter in owner.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            weight = "scale" if isinstance(owner, _NORMS) else "kernel"
            theirs = weight if leaf == "weight" and isinstance(owner, _KERNELS + _NORMS) else leaf
            names[f"{path}.{leaf}".lstrip(".")] = f"{path}.{theirs}".lstrip(".").replace(".", "/")
    return names


def to_torch(module: nn.Module, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays by Flax name, in Flax's layout -> the same names, in the layout of the twin.

    Raises:
      UserError: an array is missing, left over, or has the wrong size.
    """
    names = {theirs: ours for ours, theirs in flax_names(module).items()}
    faults = [f"missing {name}" for name in sorted(names.keys() - arrays.keys())]
    faults += [f"extra {name}" for name in sorted(arrays.keys() - names.keys())]
    converted = {}
    for name in names.keys() & arrays.keys():
        path, _, leaf = names[name].rpartition(".")
        owner, array = module.get_submodule(path), np.asarray(arrays[name], np.float32)
        shape = tuple(getattr(owner, leaf).shape)
        if array.size != np.prod(shape):
            faults.append(f"{name} has {array.shape}, not the size of {shape}")
            continue
        converted[name] = _layout(owner, leaf, array)
        if converted[name].shape != shape:
            faults.append(f"{name} becomes {converted[name].shape}, not {shape}")
    if faults:
        raise UserError(f"weights of {type(module).__name__}: {'; '.join(faults[:5])}")
    return converted


def _layout(owner: nn.Module, leaf: str, array: np.ndarray) -> np.ndarray:
    if leaf == "weight" and isinstance(owner, nn.ConvTranspose2d):
        return array.transpose(2, 3, 0, 1)  # as `models.unet.UpConv` keeps it, not mirrored
    if leaf == "weight" and isinstance(owner, nn.Conv2d):
        return array.transpose(3, 2, 0, 1)
    if leaf == "weight" and isinstance(owner, nn.Linear):  # several heads lie side by side
        return array.reshape(owner.in_features, owner.out_features).T
    return array.reshape(getattr(owner, leaf).shape)


def load(module: nn.Module, arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """Copies weights into the twin and returns it. Raises UserError as `to_torch` does."""
    converted, names = to_torch(module, arrays), flax_names(module)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(converted[names[name]].copy()))
    return module


def gradients_to_torch(module: nn.Module, result: Result) -> Result:
    """A result of ours with its gradients in the layout of the twin, names as they are."""
    prefix = "gradient/"
    gradients = {k.removeprefix(prefix): v for k, v in result.items() if k.startswith(prefix)}
    if not gradients:
        return result
    others = {k: v for k, v in result.items() if not k.startswith(prefix)}
    return others | {prefix + k: v for k, v in to_torch(module, gradients).items()}
