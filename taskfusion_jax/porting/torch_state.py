"""Backbones' parameters as PyTorch state dicts and back, strict in both directions.

The modules in `exporting/torch_nets` have our names with dots, PyTorch's layouts, and `weight` for
a kernel or for a layer norm's gain.
"""

import re
from collections.abc import Mapping

import numpy as np

from taskfusion_jax.porting.files import Arrays, exactly

HOOKS = "hooks/"
"""What a task adds to a ViT is kept as it is, by its own names."""
_TRANSPOSED = re.compile(r"decoder/up_\d+/kernel")
_ENLARGING = "unet"


def to_state_dict(flat: Mapping[str, np.ndarray], backbone: str) -> Arrays:
    """Parameters by slash-joined name -> a state dict of contiguous float32 arrays.

    Args:
      flat: of one network, as a method picks them.
      backbone: a key of `config.backbone`.
    """
    return {
        _torch_name(name, backbone): np.ascontiguousarray(
            np.asarray(x, np.float32).transpose(_axes(name, np.ndim(x), backbone))
        )
        for name, x in flat.items()
    }


def from_state_dict(
    state: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    backbone: str,
    origin: str,
    head: str = "",
) -> Arrays:
    """The inverse of `to_state_dict`.

    Args:
      state: as read from a file.
      shapes: our name -> shape of all parameters that there are to be.
      backbone: a key of `config.backbone`.
      origin: what begins an error's message, such as the file's name.
      head: what the names of an output layer begin with that is passed over; "" = of none.

    Returns:
      Parameters by slash-joined name, float32.

    Raises:
      UserError: an array is missing, extra or misshaped; all of them are told at once.
    """
    axes = {name: _axes(name, len(shape), backbone) for name, shape in shapes.items()}
    theirs = {name: _torch_name(name, backbone) for name in shapes}
    wanted = {theirs[name]: tuple(shapes[name][i] for i in axes[name]) for name in shapes}
    pass_over = rf"{re.escape(head)}\." if head else "$^"
    found = exactly(dict(state), wanted, pass_over, origin)
    return {name: found[theirs[name]].transpose(np.argsort(axes[name])) for name in shapes}


def _torch_name(name: str, backbone: str) -> str:
    if name.startswith(HOOKS):
        return HOOKS[:-1] + "." + name.removeprefix(HOOKS)
    module, _, leaf = name.rpartition("/")
    if leaf == "kernel" or (leaf == "scale" and backbone == "vit"):
        leaf = "weight"
    return f"{module}/{leaf}".lstrip("/").replace("/", ".")


def _axes(name: str, axes: int, backbone: str) -> tuple[int, ...]:
    """In which order PyTorch has an array's axes."""
    if name.startswith(HOOKS) or not name.endswith("kernel"):
        return tuple(range(axes))
    if backbone == _ENLARGING and _TRANSPOSED.fullmatch(name):
        return (2, 3, 0, 1)  # as `models.unet.UpConv` keeps it, not mirrored
    return {4: (3, 2, 0, 1), 2: (1, 0)}[axes]
