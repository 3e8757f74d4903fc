"""The network that tasks share, behind one face: fresh parameters, and a pass of images."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.models.resnet_generator import ResNetGenerator
from taskfusion_jax.models.transform_net import TransformNet
from taskfusion_jax.models.unet import UNet
from taskfusion_jax.models.vit import ViT
from taskfusion_jax.porting.backbones import load_backbone
from taskfusion_jax.porting.vit import load_vit

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Backbone:
    """A network whose parameters are a plain tree.

    Attributes:
      section: of the config, with its options.
      encoder: what the names of its encoder's parameters begin with.
      head: name of the output layer that tasks bring themselves; "" = there is one for all.
      conditioned: whether it is told its task, and looks at c.
      side: what an image's sides must be a multiple of.
      size: the only side of an image that it takes, in pixels; 0 = any.
    """

    section: ClassVar[str]
    encoder: ClassVar[str]
    head: ClassVar[str] = ""
    conditioned: ClassVar[bool] = False
    side: int = 4
    size: int = 0

    def __init__(self, config: ConfigDict, channels: int, parts: Mapping[str, Any]):
        """Builds the modules.

        Args:
          config: the whole config.
          channels: of the output, as many as the widest task wants.
          parts: what a method puts into it, which only some networks take.

        Raises:
          UserError: it makes images only, or does not take these parts.
        """
        self.config, self.channels, self.dtype = config, channels, DTYPES[config.dtype]
        if not self.head and channels != 3:
            raise UserError(
                f"config.backbone={config.backbone} makes images of 3 channels, but a task wants "
                f"{channels}: use unet, or tasks that are images (kind=painted_classes, rgb=True)"
            )

    def init(self, rng: jax.Array, channels: int) -> dict:
        """Fresh parameters with an output layer of so many channels."""
        raise NotImplementedError

    def init_head(self, rng: jax.Array, channels: int) -> dict:
        """A fresh output layer of so many channels, below its name."""
        return only(self.init(rng, channels), self.head)

    def pretrained(self) -> dict[str, Any]:
        """Arrays by name, of those parameters that the config takes from a file, no head."""
        path = self.config[self.section].get("weights", "")
        if not path:
            return {}
        fresh = jax.eval_shape(lambda: self.init(jax.random.key(0), self.channels))
        shapes = {k: x.shape for k, x in names.flatten(without(fresh, self.head)).items()}
        return load_backbone(path, shapes, self.config.backbone, self.head)

    def widen(self, params: dict) -> dict:
        """Parameters as `apply` takes them: one shape whatever the task, so one program. An output
        layer gets zeros for the channels that its task lacks."""
        if not self.head:
            return params
        head = {
            name: jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, self.channels - x.shape[-1])])
            for name, x in params[self.head].items()
        }
        return {**params, self.head: head}

    def apply(self, params: dict, x: jax.Array, c: jax.Array) -> jax.Array:
        """x: [B, H, W, 3] in [0, 1], c: [B, slots] -> [B, H, W, channels]."""
        raise NotImplementedError


class TransformNetBackbone(Backbone):
    """Johnson's network; `config.network`."""

    section = "network"
    encoder = "down_"
    conditioned = True

    def __init__(self, config, channels, parts):
        """See `Backbone`."""
        super().__init__(config, channels, parts)
        options = without(config.network.to_dict(), "weights")
        self.net = TransformNet(dtype=self.dtype, **parts, **options)

    def init(self, rng, channels):
        """See `Backbone.init`."""
        image, c = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, self.config.slots))
        return self.net.init(rng, image, c)["params"]

    def apply(self, params, x, c):
        """See `Backbone.apply`."""
        return self.net.apply({"params": params}, x, c)


class UNetBackbone(Backbone):
    """The U-Net of paper 003; `config.unet`. Each task has a 1x1 output layer."""

    section = "unet"
    encoder = "encoder"
    head = "head"

    def __init__(self, config, channels, parts):
        """See `Backbone`."""
        super().__init__(config, channels, parts)
        self.widths = tuple(config.unet.widths)
        self.side = 2 ** (len(self.widths) - 1)
        self.net = UNet(channels, self.widths, self.dtype)

    def init(self, rng, channels):
        """See `Backbone.init`."""
        side = self.side
        return UNet(channels, self.widths).init(rng, jnp.zeros((1, side, side, 3)))["params"]

    def apply(self, params, x, c):
        """See `Backbone.apply`. The task shows in the parameters; c is not looked at."""
        return self.net.apply({"params": params}, x)


class ResNetBackbone(Backbone):
    """CycleGAN's generator, with as many blocks as the parameters hold; `config.resnet`."""

    section = "resnet"
    encoder = "encoder"

    def _net(self, blocks: int) -> ResNetGenerator:
        o = self.config.resnet
        return ResNetGenerator(o.width, blocks, o.remat, self.dtype)

    def init(self, rng, channels):
        """See `Backbone.init`."""
        image = jnp.zeros((1, 32, 32, 3))
        return self._net(self.config.resnet.blocks).init(rng, image)["params"]

    def apply(self, params, x, c):
        """See `Backbone.apply`. The task shows in the parameters; c is not looked at."""
        return self._net(len(params.get("blocks", ()))).apply({"params": params}, x)


class ViTBackbone(Backbone):
    """A vision transformer; `config.vit`. Each task has its own classes; scores [B, classes]."""

    section = "vit"
    encoder = ""
    head = "head"
    hooks = "hooks"
    """Where the parameters may hold what acts on the tokens; see `models.vit`."""

    def __init__(self, config, channels, parts):
        """See `Backbone`. Raises UserError for an unknown variant."""
        super().__init__(config, channels, parts)
        o = config.vit
        options = {"remat": o.remat, "dtype": self.dtype}
        self.net = ViT.variant(o.variant, classes=channels, **options)
        self.featuriser = ViT.variant(o.variant, classes=0, **options)
        self.side, self.size = self.net.patch, config.data.size

    def init(self, rng, channels):
        """See `Backbone.init`."""
        size = self.config.data.size
        return self.net.clone(classes=channels).init(rng, jnp.zeros((1, size, size, 3)))["params"]

    def init_head(self, rng, channels):
        """See `Backbone.init_head`. Zeros: no class is likelier than another at first."""
        shape = self.net.width, channels
        return {self.head: {"kernel": jnp.zeros(shape), "bias": jnp.zeros((channels,))}}

    def pretrained(self):
        """See `Backbone.pretrained`: the file or folder `config.vit.weights`; no head."""
        path = self.config.vit.weights
        if not path:
            return {}
        if path.startswith("run:"):
            raise UserError(
                f"config.vit.weights={path} is the run of that name in a comparison: start "
                "`compare` with this config and --only=RUN, or give a file, or the folder of a run "
                "that trained such a network (configs/vit_pretrain.py)"
            )
        loaded = load_vit(path, self.featuriser, self.config.data.size)
        return names.flatten(loaded)

    def apply(self, params, x, c):
        """See `Backbone.apply`. The task shows in the parameters; c is not looked at."""
        return self.run_with(self.net, params, x)

    def run_with(self, net: ViT, params: dict, x: jax.Array) -> jax.Array:
        """As `apply`, by a network that differs in what it reads, or has no head."""
        hooks, tree = params.get(self.hooks, {}), without(params, self.hooks)
        tree = tree if net.classes else without(tree, self.head)
        return net.apply({"params": tree}, self._normed(x), hooks)

    def features(self, params: dict, x: jax.Array) -> jax.Array:
        """What the network without head and hooks says of images, [B, width]."""
        return self.run_with(self.featuriser, without(params, self.hooks), x)

    def _normed(self, x: jax.Array) -> jax.Array:
        o = self.config.vit
        mean, std = (jnp.asarray(v).reshape(1, 1, 1, 3) for v in (o.mean, o.std))
        return (x - mean) / std


BACKBONES = {
    "transform_net": TransformNetBackbone,
    "unet": UNetBackbone,
    "resnet": ResNetBackbone,
    "vit": ViTBackbone,
}


def build_backbone(config: ConfigDict, channels: int, parts: Mapping[str, Any]) -> Backbone:
    """Builds `config.backbone`; see `Backbone`. Raises UserError for an unknown one."""
    if config.backbone not in BACKBONES:
        hint = did_you_mean(config.backbone, BACKBONES)
        raise UserError(f"config.backbone: no '{config.backbone}'{hint}")
    return BACKBONES[config.backbone](config, channels, parts)


def without(params: dict, name: str) -> dict:
    """A tree without what lies below `name`; "" takes nothing away."""
    return {key: x for key, x in params.items() if key != name}


def only(params: dict, name: str) -> dict:
    """The rest of `without`."""
    return {key: x for key, x in params.items() if key == name}
