"""Weights of image-to-image networks from files: as `export` writes them, or as PyTorch's example
of fast neural style has published them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from taskfusion_jax.porting.files import Arrays, exactly, read_arrays, to_hwio, to_oihw
from taskfusion_jax.porting.torch_state import from_state_dict

_WAYS = (
    "give the *.safetensors that `export --format=torch` wrote, or a state dict of PyTorch's "
    "fast_neural_style (*.pth)"
)
_LAYERS = {
    "down_0": ("conv1", "in1"),
    "down_1": ("conv2", "in2"),
    "down_2": ("conv3", "in3"),
    **{
        f"block_{i}_{'ab'[j]}": (f"res{i + 1}.conv{j + 1}", f"res{i + 1}.in{j + 1}")
        for i in range(5)
        for j in range(2)
    },
    "up_0": ("deconv1", "in4"),
    "up_1": ("deconv2", "in5"),
    "out": ("deconv3", ""),
}
"""Our layer -> its convolution and its norm in fast_neural_style's TransformerNet."""


def load_backbone(
    path: str | Path, shapes: Mapping[str, tuple[int, ...]], backbone: str, head: str = ""
) -> Arrays:
    """Parameters of a network by slash-joined name, from a file.

    Args:
      path: of a state dict in the names of `torch_nets`, or for `transform_net` with plain affine
        norms in those of PyTorch's examples/fast_neural_style, whose images go from 0 to 255.
      shapes: name -> shape of all parameters that there are to be.
      backbone: a key of `config.backbone`.
      head: what the names of an output layer begin with that is passed over.

    Raises:
      UserError: the file is missing, holds more than arrays, or is of another network; everything
        that is missing, extra or misshaped is named.
    """
    arrays = read_arrays(Path(path), _WAYS)
    origin = f"{path}: not the weights of config.backbone={backbone} as configured"
    if "conv1.conv2d.weight" in arrays:
        return _fast_neural_style(arrays, shapes, origin)
    return from_state_dict(arrays, shapes, backbone, origin, head)


def _fast_neural_style(arrays: Arrays, shapes, origin: str) -> Arrays:
    theirs = {name: _theirs(name) for name in shapes}
    wanted = {
        theirs[name]: to_oihw(shape) if len(shape) == 4 else shape for name, shape in shapes.items()
    }
    # Old versions of PyTorch kept running statistics that nothing reads.
    found = exactly(arrays, wanted, r".*\.(running_mean|running_var|num_batches_tracked)$", origin)
    params = {name: found[theirs[name]] for name in shapes}
    params = {name: to_hwio(x) if x.ndim == 4 else x for name, x in params.items()}
    # Theirs is (0..255) -> (0..255), ours has -1..1 at the first and the last convolution.
    first, last = "down_0/conv", "out/conv"
    params[f"{first}/bias"] = params[f"{first}/bias"] + 127.5 * params[f"{first}/kernel"].sum(
        axis=(0, 1, 2)
    )
    params[f"{first}/kernel"] = params[f"{first}/kernel"] * np.float32(127.5)
    params[f"{last}/kernel"] = params[f"{last}/kernel"] / np.float32(127.5)
    params[f"{last}/bias"] = params[f"{last}/bias"] / np.float32(127.5) - 1
    return params


def _theirs(name: str) -> str:
    """fast_neural_style's name of one of our parameters; where it has none, a name that no file
    holds, so that it is told as missing."""
    layer, leaf = name.split("/")[0], name.rpartition("/")[2]
    norm = layer.endswith("_norm")
    conv, affine = _LAYERS.get(layer.removesuffix("_norm"), ("", ""))
    module = affine if norm else conv and f"{conv}.conv2d"
    leaf = {"kernel": "weight", "scale": "weight"}.get(leaf, leaf)
    return f"{module}.{leaf}" if module else name
