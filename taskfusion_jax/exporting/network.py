"""What is exported: one backbone with the parameters picked for a task, or for all tasks."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError
from taskfusion_jax.inference.model import Model
from taskfusion_jax.methods.base import ROWS, Method
from taskfusion_jax.methods.registry import build_method
from taskfusion_jax.models import conditioning
from taskfusion_jax.models.transform_net import TransformNet
from taskfusion_jax.porting.torch_state import HOOKS
from taskfusion_jax.tasks.base import Task

NORMS = {
    conditioning.FilmNorm: "film",
    conditioning.ChainedFilmNorm: "chained_film",
    conditioning.AffineNorm: "affine",
    conditioning.PlainNorm: "plain",
}


@dataclasses.dataclass(frozen=True)
class Network:
    """One function of images and, where it does several tasks, of a task vector.

    Attributes:
      name: of the file: the task's, or "model".
      backbone: key of `config.backbone`.
      options: what the exported module is built with, plain JSON.
      params: the backbone's parameters by slash-joined name.
      slots: width of the task vector; 0 = it takes none.
      task: the only one it does; None = the vector says.
      side: what the sides of an image must be a multiple of.
      size: the only side it takes; 0 = any.
      run: (params as a tree, x [B, H, W, 3], c [B, slots]) -> raw output, in JAX.
    """

    name: str
    backbone: str
    options: Mapping[str, Any]
    params: Mapping[str, np.ndarray]
    slots: int
    task: Task | None
    side: int
    size: int
    run: Callable[[dict, jax.Array, jax.Array], jax.Array]

    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """The raw output, [B, H, W, channels] or [B, classes]."""
        return self.run_flat(self.params, x, c)

    def run_flat(self, params: Mapping[str, jax.Array], x: jax.Array, c: jax.Array) -> jax.Array:
        """As the call, with parameters by name given from outside."""
        return self.run(names.unflatten(dict(params)), x, c)

    def example(self, batch: int = 2, side: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Images of noise [batch, H, W, 3] in [0, 1] and vectors [batch, slots] that it takes.

        Raises:
          UserError: images of this side do not suit it.
        """
        rng, side = np.random.default_rng(0), side or self.size or 4 * self.side
        if side % self.side or (self.size and side != self.size):
            wanted = self.size or f"a multiple of {self.side}"
            raise UserError(f"--size={side}, but {self.name} takes images with sides of {wanted}")
        x = rng.random((batch, side, side, 3), np.float32)
        return x, rng.random((batch, self.slots), np.float32)


def networks(model: Model, task: str = "") -> list[Network]:
    """Those that do what a run has learnt, in float32: one that is told its task, or one for each
    task.

    Args:
      model: the run.
      task: do this one alone; its vector is folded into the parameters.

    Raises:
      UserError: no such task, or a norm of the user's own.
    """
    config = model.config.copy_and_resolve_references()
    config.dtype = "float32"
    method = build_method(config, model.method.channels)
    if method.one_network and not task:
        vector = next(iter(model.tasks.values())).vector
        return [_network(method, "model", method.pick(model.params, vector), None)]
    return [_folded(_of_task(model, method, name)) for name in ([task] if task else model.tasks)]


def _of_task(model: Model, method: Method, name: str) -> Network:
    model.vector({name: 1.0})
    task = model.tasks[name]
    picked = method.pick(model.params, task.vector)
    head = method.backbone.head
    if head:  # the channels that it lacks are zeros
        picked = {**picked, head: {k: x[..., : task.channels] for k, x in picked[head].items()}}
    return _network(method, name, picked, task)


def _network(method: Method, name: str, picked: dict, task: Task | None) -> Network:
    backbone, config = method.backbone, method.backbone.config
    params = {key: np.asarray(x) for key, x in names.flatten(picked).items()}
    options, run = _FORMS[config.backbone](method, params)
    slots = config.slots if backbone.conditioned else 0
    size, side = backbone.size, backbone.side
    return Network(name, config.backbone, options, params, slots, task, side, size, run)


def _transform_net(method, params):
    net: TransformNet = method.backbone.net
    config = method.backbone.config
    for norm in (net.norm, net.encoder_norm or net.norm):
        if norm not in NORMS:
            raise UserError(
                f"config.method={config.method} has a norm that no export knows: add it to "
                "exporting/network.py and exporting/torch_nets/transform_net.py"
            )
    attention = None
    if net.attention:
        part: Any = net.attention(parent=None)
        attention = (part.reduction, part.shift)
    options = {
        **{k: getattr(net, k) for k in ("width", "blocks", "input_gate", "pixel_gate", "skips")},
        "slots": config.slots,
        "norm": NORMS[net.norm],
        "encoder_norm": NORMS[net.encoder_norm or net.norm],
        "attention": attention,
    }
    return options, method.backbone.apply


def _unet(method, params):
    outputs, backbone = params["head/kernel"].shape[-1], method.backbone
    net = backbone.net.clone(out=outputs)
    options = {"outputs": outputs, "widths": list(backbone.widths)}
    return options, lambda tree, x, c: net.apply({"params": tree}, x)


def _resnet(method, params):
    blocks = len({name.split("/")[1] for name in params if name.startswith("blocks/")})
    options = {"width": method.backbone.config.resnet.width, "blocks": blocks}
    return options, method.backbone.apply


def _vit(method, params):
    net, config = method.backbone.net, method.backbone.config
    pool = {k.removeprefix("pool/"): list(x.shape) for k, x in params.items() if "pool/" in k}
    own = {k.removeprefix(HOOKS): list(x.shape) for k, x in params.items() if k.startswith(HOOKS)}
    options = {
        **{k: getattr(net, k) for k in ("width", "depth", "heads", "patch")},
        "classes": params["head/kernel"].shape[-1],
        "side": config.data.size,
        "own": own,
        "pool": pool,
        "top": config.pool.top if pool else 0,
        "mean": list(config.vit.mean),
        "std": list(config.vit.std),
    }

    def run(tree, x, c):
        head = tree["head"]
        return method.represent(tree, x) @ head["kernel"] + head["bias"][None]

    return options, run


_FORMS = {"transform_net": _transform_net, "unet": _unet, "resnet": _resnet, "vit": _vit}


def _folded(network: Network) -> Network:
    """The same for its task's vector alone: generators of norms become plain scales and shifts,
    and what else is multiplied with the vector becomes a row for a vector of one 1."""
    if not network.slots:
        return network
    vector, params = network.task.vector, dict(network.params)
    kinds = {network.options["norm"], network.options["encoder_norm"]}
    for name in [name for name in params if name.endswith("/generator/kernel")]:
        norm = name.removesuffix("/generator/kernel")
        kernel, bias = params.pop(name), params.pop(f"{norm}/generator/bias")
        fold = _chained if "chained_film" in kinds else _added
        gamma, beta = np.split(fold(kernel, bias, vector), 2)
        params |= {f"{norm}/scale": gamma, f"{norm}/bias": beta}
    for name in [name for name in params if name.endswith(ROWS)]:
        params[name] = (vector @ params[name])[None]
    plain = {k: "plain" if network.options[k] == "plain" else "affine" for k in _NORM_OPTIONS}
    options = {**network.options, **plain, "slots": 1}
    net = TransformNet(
        **{k: _FLAX[plain[k]] for k in _NORM_OPTIONS},
        **{k: options[k] for k in ("width", "blocks", "input_gate", "pixel_gate", "skips")},
        attention=_attention(options["attention"]),
    )

    def run(tree, x, c):
        return net.apply({"params": tree}, x, jnp.ones((x.shape[0], 1)))

    return dataclasses.replace(network, options=options, params=params, slots=0, run=run)


_NORM_OPTIONS = ("norm", "encoder_norm")
_FLAX: dict[str, type[nn.Module]] = {name: norm for norm, name in NORMS.items()}


def _attention(options: tuple[int, bool] | None) -> Callable[..., nn.Module] | None:
    if options is None:
        return None
    reduction, shift = options
    return lambda **more: conditioning.ChannelAttention(reduction, shift, **more)


def _added(kernel: np.ndarray, bias: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """(gamma, beta) of `conditioning.FilmNorm`, [2 C]."""
    return vector @ kernel + bias


def _chained(kernel: np.ndarray, bias: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """(gamma, beta) of `conditioning.ChainedFilmNorm`, [2 C]."""
    gamma, beta = np.split(bias, 2)
    for strength, row in zip(vector, kernel, strict=True):
        scale, shift = np.split(strength * row, 2)
        gamma, beta = (1 + scale) * gamma, (1 + scale) * beta + shift
    return np.concatenate([gamma, beta])
