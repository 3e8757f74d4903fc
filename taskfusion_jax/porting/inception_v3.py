"""Weights of the InceptionV3 of FID, from the file that pytorch-fid published."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from taskfusion_jax.models.inception_v3 import InceptionV3
from taskfusion_jax.porting.files import exactly, read_arrays, to_hwio, to_oihw

_WAYS = (
    "give Inception weights in one of two ways: pt_inception-2015-12-05-6726825d.pth of the "
    "release fid_weights of pytorch-fid; a *.safetensors file of the same names"
)
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
_EPSILON = 1e-3  # of the batch norms


def load_inception_v3(path: str | Path) -> dict[str, dict]:
    """Returns the parameters of `models.inception_v3.InceptionV3`, batch norms folded in.

    Args:
      path: `pt_inception-2015-12-05-6726825d.pth` (`Mixed_5b.branch1x1.conv.weight`, OIHW, beside
        `Mixed_5b.branch1x1.bn.weight`, `.bias`, `.running_mean`, `.running_var`), or a
        `*.safetensors` of the same names.

    Returns:
      `{"Conv2d_1a_3x3": {"kernel": [3, 3, 3, 32], "bias": [32]}, ...}`, nested as the modules,
      float32.

    Raises:
      UserError: no such file, not such a file, or its arrays are not exactly those of this
        network (`fc.*` and `num_batches_tracked` are passed over).
    """
    path = Path(path)
    arrays = read_arrays(path, _WAYS)
    kernels = _kernels()
    shapes = {}
    for conv, shape in kernels.items():
        shapes[f"{conv}.conv.weight"] = to_oihw(shape)
        shapes |= {f"{conv}.bn.{name}": shape[-1:] for name in _STATISTICS}
    origin = f"{path}: not the weights of FID's InceptionV3"
    arrays = exactly(arrays, shapes, r"fc\.|.*\.num_batches_tracked$", origin)
    folded = {
        tuple(conv.split(".")): _fold(
            arrays[f"{conv}.conv.weight"], *(arrays[f"{conv}.bn.{name}"] for name in _STATISTICS)
        )
        for conv in kernels
    }
    return unflatten_dict(folded)


def _kernels() -> dict[str, tuple[int, ...]]:
    """Convolution, named as in PyTorch -> shape of its kernel here."""
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    params = jax.eval_shape(InceptionV3().init, jax.random.key(0), images)["params"]
    return {
        ".".join(path[:-1]): leaf.shape
        for path, leaf in flatten_dict(params).items()
        if path[-1] == "kernel"
    }


def _fold(
    kernel: np.ndarray, gain: np.ndarray, bias: np.ndarray, mean: np.ndarray, var: np.ndarray
) -> dict[str, np.ndarray]:
    """Convolution without a bias, then batch norm: as one convolution with a bias."""
    scale = gain / np.sqrt(var.astype(np.float64) + _EPSILON)
    return {
        "kernel": (to_hwio(kernel) * scale[None, None, None]).astype(np.float32),
        "bias": (bias - mean * scale).astype(np.float32),
    }
