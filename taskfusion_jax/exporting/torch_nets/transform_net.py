"""An image-translation network that a task vector tells what to do. Needs PyTorch alone.

    net = load("model.safetensors")               # also needs the package safetensors
    y = net(x, torch.tensor([[0.0, 1.0, 0.6]]))   # x: [B, 3, H, W] in [0, 1]

Sides are multiples of 4. c: [B, slots], how much of each task; README.md says which slot is which.
"""

import torch
import torch.nn.functional as F
from torch import nn

from taskfusion_jax.exporting.torch_nets.reflect import ReflectConv, instance_norm


class PlainNorm(nn.Module):
    """Instance norm without parameters."""

    def __init__(self, channels: int, slots: int):
        super().__init__()

    def forward(self, x, c):
        return instance_norm(x)


class AffineNorm(nn.Module):
    """Instance norm with a scale and a shift of its own."""

    def __init__(self, channels: int, slots: int):
        super().__init__()
        self.scale, self.bias = (nn.Parameter(torch.zeros(channels)) for _ in range(2))

    def forward(self, x, c):
        return self.scale[None, :, None, None] * instance_norm(x) + self.bias[None, :, None, None]


class FilmNorm(nn.Module):
    """Instance norm, then gamma x + beta with (gamma, beta) an affine function of the vector."""

    def __init__(self, channels: int, slots: int):
        super().__init__()
        self.generator = nn.Linear(slots, 2 * channels)

    def forward(self, x, c):
        gamma, beta = self.generator(c)[:, :, None, None].chunk(2, dim=1)
        return gamma * instance_norm(x) + beta


class ChainedFilmNorm(nn.Module):
    """Instance norm, then one affine map per task in the order of slots, each at its strength."""

    def __init__(self, channels: int, slots: int):
        super().__init__()
        self.generator = nn.Linear(slots, 2 * channels)

    def forward(self, x, c):
        gamma, beta = self.generator.bias.chunk(2)
        gamma, beta = gamma[None].expand(c.shape[0], -1), beta[None].expand(c.shape[0], -1)
        for slot in range(c.shape[1]):
            scale, shift = (c[:, slot, None] * self.generator.weight[None, :, slot]).chunk(2, dim=1)
            gamma, beta = (1 + scale) * gamma, (1 + scale) * beta + shift
        return gamma[:, :, None, None] * instance_norm(x) + beta[:, :, None, None]


class ChannelAttention(nn.Module):
    """Scales channels (and shifts them) by what the image and the task vector say."""

    def __init__(self, channels: int, slots: int, reduction: int, shift: bool):
        super().__init__()
        self.shift = shift
        self.task = nn.Linear(slots, channels)
        self.squeeze = nn.Linear(2 * channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, (1 + shift) * channels)

    def forward(self, x, c):
        both = torch.cat([x.mean(dim=(2, 3)), F.relu(self.task(c))], dim=1)
        out = self.excite(F.relu(self.squeeze(both)))[:, :, None, None]
        channels = x.shape[1]
        y = x * torch.sigmoid(out[:, :channels])
        return y + out[:, channels:] if self.shift else y


NORMS = {
    "plain": PlainNorm,
    "affine": AffineNorm,
    "film": FilmNorm,
    "chained_film": ChainedFilmNorm,
}


class Net(nn.Module):
    """Johnson's network: three convolutions down, residual blocks, three up.

    norm, encoder_norm: keys of NORMS. attention: None or (reduction, shift). skips, input_gate and
    pixel_gate: paths from the encoder and from the input itself.
    """

    def __init__(
        self,
        slots: int,
        width: int,
        blocks: int,
        norm: str,
        encoder_norm: str,
        attention: tuple[int, bool] | None = None,
        input_gate: bool = False,
        pixel_gate: bool = False,
        skips: bool = False,
    ):
        super().__init__()
        self.slots, self.blocks, self.skips = slots, blocks, skips
        self.attention = attention is not None
        self.input_gate, self.pixel_gate = input_gate, pixel_gate
        w = width

        def layer(name, inputs, outputs, kernel, stride=1, kind=norm, attend=""):
            self.add_module(name, ReflectConv(inputs, outputs, kernel, stride))
            self.add_module(f"{name}_norm", NORMS[kind](outputs, slots))
            if attention and attend:
                self.add_module(f"{attend}_attention", ChannelAttention(outputs, slots, *attention))

        layer("down_0", 3, w, 9, kind=encoder_norm, attend="down_0")
        layer("down_1", w, 2 * w, 3, 2, encoder_norm, "down_1")
        layer("down_2", 2 * w, 4 * w, 3, 2, encoder_norm, "down_2")
        for i in range(blocks):
            layer(f"block_{i}_a", 4 * w, 4 * w, 3)
            layer(f"block_{i}_b", 4 * w, 4 * w, 3, attend=f"block_{i}")
        layer("up_0", 4 * w, 2 * w, 3, attend="up_0")
        layer("up_1", 2 * w, w, 3, attend="up_1")
        if skips:
            self.skip_half, self.skip_full = NORMS[norm](2 * w, slots), NORMS[norm](w, slots)
        self.out = ReflectConv(w, 3 + pixel_gate, 9)
        if input_gate:
            self.gate = nn.Linear(slots, 3, bias=False)

    def forward(self, x, c=None):
        """x: [B, 3, H, W] in [0, 1], c: [B, slots] -> [B, 3, H, W] around [0, 1], not clipped.

        A network of one task takes no c.
        """
        c = x.new_ones(x.shape[0], self.slots) if c is None else c

        def layer(h, name):
            return self.get_submodule(f"{name}_norm")(self.get_submodule(name)(h), c)

        def attend(h, name):
            return self.get_submodule(f"{name}_attention")(h, c) if self.attention else h

        def up(h, name, skip, encoder):
            h = layer(F.interpolate(h, scale_factor=2.0, mode="nearest"), name)
            h = h + self.get_submodule(skip)(encoder, c) if self.skips else h
            return attend(F.relu(h), name)

        x = 2 * x - 1
        full = attend(F.relu(layer(x, "down_0")), "down_0")
        half = attend(F.relu(layer(full, "down_1")), "down_1")
        h = attend(F.relu(layer(half, "down_2")), "down_2")
        for i in range(self.blocks):
            h = h + layer(F.relu(layer(h, f"block_{i}_a")), f"block_{i}_b")
            h = attend(h, f"block_{i}")
        y = self.out(up(up(h, "up_0", "skip_half", half), "up_1", "skip_full", full))
        if self.input_gate:
            gate = (1 + self.gate(c))[:, :, None, None]
            y = y[:, :3] + (gate + y[:, 3:] if self.pixel_gate else gate) * x
        return (y + 1) / 2
