"""Parameters of the vision transformer, from the files they are published in and from our own."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError
from taskfusion_jax.models.vit import ViT
from taskfusion_jax.porting.files import Arrays, exactly, read_arrays, to_hwio, to_oihw
from taskfusion_jax.task_files import read_shared

Shapes = dict[str, tuple[int, ...]]

_WAYS = (
    "give ViT weights in one of four ways: a *.npz of google-research/vision_transformer; "
    "a state dict of timm or of Hugging Face's ViT (*.safetensors or *.pth); a *.safetensors of "
    "our own names; the folder of a run that wrote tasks/shared.safetensors"
)
_OUTER = ("patch/embedding", "cls", "pos_embedding", "norm", "head")
_INNER = ("norm_1", "qkv", "proj", "norm_2", "fc1", "fc2")


@dataclass(frozen=True)
class _Layout:
    """How a kind of file calls our modules, and how it keeps their arrays.

    Attributes:
      outer: what it calls `_OUTER`.
      block: what the names in a block begin with; `{}` stands for the block's number.
      inner: what it calls `_INNER`; `*` stands for query, key and value, kept one by one.
      torch: kernels are `[O, I]` or OIHW, and are called `weight`, as are a norm's gains.
      heads: the arrays of the attention have an axis for the heads.
    """

    outer: tuple[str, ...]
    block: str
    inner: tuple[str, ...]
    torch: bool = False
    heads: bool = False

    def names(self, ours: str) -> list[str]:
        """Where the file keeps one of our arrays: one name, or three."""
        module, leaf = re.fullmatch(r"(.+?)(?:/(kernel|scale|bias))?", ours).groups()
        block, _, inner = module.rpartition("/")
        if inner in _INNER:
            number = block.removeprefix("block_")
            name = self.block.format(number) + self.inner[_INNER.index(inner)]
        else:
            name = self.outer[_OUTER.index(module)]
        if leaf and self.torch:
            name += ".bias" if leaf == "bias" else ".weight"
        elif leaf:
            name += f"/{leaf}"
        parts = ("query", "key", "value") if "*" in name else ("",)
        return [name.replace("*", part) for part in parts]

    def shapes(self, ours: str, shape: tuple[int, ...], heads: int) -> Shapes:
        """These names, each with the shape it has in the file, of an array that has `shape`."""
        stored = self.names(ours)
        *rows, columns = shape
        columns //= len(stored)
        if self.torch and ours.endswith("/kernel"):
            shape = to_oihw((*rows, columns)) if len(rows) == 3 else (columns, *rows)
        elif self.heads and "/qkv/" in ours:
            shape = (*rows, heads, columns // heads)
        elif self.heads and ours.endswith("/proj/kernel"):
            shape = (heads, rows[0] // heads, columns)
        else:
            shape = (*rows, columns)
        return dict.fromkeys(stored, shape)

    def convert(self, ours: str, shape: tuple[int, ...], arrays: Arrays) -> np.ndarray:
        """One of our arrays, which has `shape`, from those of the file."""
        parts = [arrays[name] for name in self.names(ours)]
        if self.torch and ours.endswith("/kernel"):
            parts = [to_hwio(part) if part.ndim == 4 else part.T for part in parts]
        part = (*shape[:-1], shape[-1] // len(parts))
        joined = np.concatenate([array.reshape(part) for array in parts], axis=-1)
        return np.ascontiguousarray(joined)


def _transformers(prefix: str) -> _Layout:
    return _Layout(
        (
            f"{prefix}embeddings.patch_embeddings.projection",
            f"{prefix}embeddings.cls_token",
            f"{prefix}embeddings.position_embeddings",
            f"{prefix}layernorm",
            "classifier",
        ),
        f"{prefix}encoder.layer.{{}}.",
        (
            "layernorm_before",
            "attention.attention.*",
            "attention.output.dense",
            "layernorm_after",
            "intermediate.dense",
            "output.dense",
        ),
        torch=True,
    )


def _ours(prefix: str) -> _Layout:
    return _Layout(tuple(f"{prefix}{name}" for name in _OUTER), f"{prefix}block_{{}}/", _INNER)


_ATTENTION = "MultiHeadDotProductAttention_1"
_POSITION = "Transformer/posembed_input/pos_embedding"
_LAYOUTS = {
    "flax": _Layout(
        ("embedding", "cls", _POSITION, "Transformer/encoder_norm", "head"),
        "Transformer/encoderblock_{}/",
        (
            "LayerNorm_0",
            f"{_ATTENTION}/*",
            f"{_ATTENTION}/out",
            "LayerNorm_2",
            "MlpBlock_3/Dense_0",
            "MlpBlock_3/Dense_1",
        ),
        heads=True,
    ),
    "timm": _Layout(
        ("patch_embed.proj", "cls_token", "pos_embed", "norm", "head"),
        "blocks.{}.",
        ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"),
        torch=True,
    ),
    "transformers": _transformers("vit."),
    "transformers, no head": _transformers(""),
    "ours": _ours(""),
    "ours, of a run": _ours("base/"),
}


def load_vit(path: str | Path, net: ViT, size: int) -> dict[str, dict]:
    """Returns the parameters of `models.vit.ViT` for images of `size` x `size` pixels.

    The names in a file tell its layout. Where its position embeddings are those of another grid of
    patches, they are resampled with the bicubic kernel of Keys (a = -0.5), which is widened where
    the grid shrinks (antialiasing), the class token's apart: what PyTorch's `interpolate` does with
    mode "bicubic" and `antialias`, and timm by default; google-research/vision_transformer
    resamples linearly.

    Files do not tell what a network computes between its parameters. Ours has norms with an epsilon
    of 1e-6, as timm and Flax have (Hugging Face: 1e-12 by default), and the exact GELU, as timm and
    Hugging Face have (Flax: the approximation by tanh). Only Flax's files tell the heads.

    Args:
      path: `*.npz` of google-research/vision_transformer, AugReg's too
        (`Transformer/encoderblock_I/...`); a state dict, `*.safetensors` or `*.pth`, of timm
        (`blocks.I.attn.qkv.weight`) or of Hugging Face's ViTModel or ViTForImageClassification
        (`encoder.layer.I...`, with or without `vit.`; a pooler is passed over); `*.safetensors` of
        our own names; a run's `tasks/shared.safetensors` (the names below `base/`, its checksum
        is looked at), or that run's folder.
      net: where it has no classes, the file's head is passed over (with `pre_logits`).
      size: of the images, a multiple of the patch.

    Returns:
      `{"patch": {"embedding": {"kernel": [patch, patch, 3, width], "bias": [width]}}, ...}`, nested
      as the modules, float32.

    Raises:
      UserError: no such file, an unknown layout, a grid that is not square, or its arrays are not
        exactly those of this network.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "tasks" / "shared.safetensors"
    ours = path.name == "shared.safetensors" and path.is_file()
    arrays = read_shared(path.parent) if ours else read_arrays(path, _WAYS)
    layout, shapes = _layout_of(arrays, path), _shapes(net, size)
    [position] = layout.names("pos_embedding")
    if position in arrays and _holds_a_grid(arrays[position], net.width, f"{path}: {position}"):
        shapes["pos_embedding"] = arrays[position].shape
    pass_over = r"(vit\.)?pooler\."
    if not net.classes:
        pass_over += rf"|{re.escape(layout.outer[-1])}[./]|pre_logits[./]"
    origin = "; ".join([f"{path}: not the weights of config.vit", *_causes(arrays, layout, net)])
    arrays = exactly(arrays, _stored(layout, shapes, net.heads), pass_over, origin)
    params = {name: layout.convert(name, shape, arrays) for name, shape in shapes.items()}
    params["pos_embedding"] = _resample(params["pos_embedding"], size // net.patch)
    return names.unflatten(params)


def vit_state_dict(params: dict) -> Arrays:
    """Parameters of `models.vit.ViT` under timm's names, as `load_vit` and timm read them.

    Returns:
      `{"patch_embed.proj.weight": [width, 3, patch, patch], ...}`, contiguous, float32.
    """
    state = {}
    for ours, array in names.flatten(params).items():
        [name] = _LAYOUTS["timm"].names(ours)
        if ours.endswith("/kernel"):
            array = array.transpose((3, 2, 0, 1) if array.ndim == 4 else (1, 0))
        state[name] = np.array(array, np.float32, order="C")
    return state


def stored_shapes(net: ViT, size: int, layout: str) -> Shapes:
    """Name -> shape of what a file holds of a network for images of `size` x `size` pixels.

    Args:
      net: the network.
      size: a multiple of the patch.
      layout: "flax", "timm", "transformers" or "ours".
    """
    return _stored(_LAYOUTS[layout], _shapes(net, size), net.heads)


def _shapes(net: ViT, size: int) -> Shapes:
    """Our name -> shape."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    params = jax.eval_shape(net.init, jax.random.key(0), image)["params"]
    return {name: leaf.shape for name, leaf in names.flatten(params).items()}


def _stored(layout: _Layout, shapes: Shapes, heads: int) -> Shapes:
    stored = {}
    for ours, shape in shapes.items():
        stored |= layout.shapes(ours, shape, heads)
    return stored


def _layout_of(arrays: Arrays, path: Path) -> _Layout:
    """The layout whose name for the embedding of patches is there."""
    marks = {lay.names("patch/embedding/kernel")[0]: lay for lay in _LAYOUTS.values()}
    for mark, layout in marks.items():
        if mark in arrays:
            return layout
    some = ", ".join(list(arrays)[:3]) or "nothing"
    raise UserError(
        f"{path}: no ViT in a layout that is known, which would hold one of {', '.join(marks)}; "
        f"it holds {some}; {_WAYS}"
    )


def _causes(arrays: Arrays, layout: _Layout, net: ViT) -> list[str]:
    """What makes a file another network's, where that says more than the names of its arrays."""
    causes = []
    kernel = arrays[layout.names("patch/embedding/kernel")[0]]
    if kernel.ndim == 4:
        side, _, _, width = (to_hwio(kernel) if layout.torch else kernel).shape
        block = re.escape(layout.block).replace(r"\{\}", r"(\d+)")
        depth = len({found[1] for name in arrays if (found := re.match(block, name))})
        if (depth, width, side) != (net.depth, net.width, net.patch):
            causes.append(
                f"it has {depth} blocks of width {width} on patches of {side}, config.vit wants "
                f"{net.depth} of {net.width} on patches of {net.patch}"
            )
    bias = arrays.get(layout.names("head/bias")[0])
    if net.classes and bias is None:
        causes.append(f"it has no head, config.vit wants {net.classes} classes (0 wants none)")
    elif net.classes and bias.size != net.classes:
        causes.append(
            f"its head has {bias.size} classes, config.vit wants {net.classes} (0 passes over it)"
        )
    if net.classes and any(re.match("pre_logits[./]", name) for name in arrays):
        causes.append("its head sits on pre_logits, which ours lacks (0 classes pass over both)")
    return causes


def _holds_a_grid(positions: np.ndarray, width: int, origin: str) -> bool:
    """Whether it is `[1, 1 + n^2, width]`. Raises UserError where only the grid is not square."""
    if positions.ndim != 3 or (positions.shape[0], positions.shape[2]) != (1, width):
        return False
    patches = positions.shape[1] - 1
    if patches < 1 or math.isqrt(patches) ** 2 != patches:
        raise UserError(
            f"{origin} has {patches + 1} positions, which are not a class token and a square grid "
            "of patches; give a ViT that was trained on square images with a class token"
        )
    return True


def _resample(positions: np.ndarray, grid: int) -> np.ndarray:
    """[1, 1 + n^2, width] -> [1, 1 + grid^2, width]; see `load_vit`."""
    side = math.isqrt(positions.shape[1] - 1)
    if side == grid:
        return positions
    token, old = positions[:, :1], positions[:, 1:].reshape(side, side, -1)
    new = jax.image.resize(old, (grid, grid, old.shape[-1]), "bicubic", antialias=True)
    return np.concatenate([token, np.asarray(new).reshape(1, grid**2, -1)], axis=1)
