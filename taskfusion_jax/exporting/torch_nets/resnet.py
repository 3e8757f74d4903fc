"""CycleGAN's generator for one image-translation task. Needs PyTorch alone.

net = load("model.safetensors")    # also needs the package safetensors
y = net(x)                         # x: [B, 3, H, W] in [0, 1], sides multiples of 4 -> the same
"""

import torch.nn.functional as F
from torch import nn

from taskfusion_jax.exporting.torch_nets.reflect import ReflectConv, instance_norm


class Block(nn.Module):
    """Adds to a map what two convolutions make of it."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_0, self.conv_1 = (ReflectConv(channels, channels, 3) for _ in range(2))

    def forward(self, h):
        return h + instance_norm(self.conv_1(F.relu(instance_norm(self.conv_0(h)))))


class Net(nn.Module):
    """Down to a quarter of the size, residual blocks, and up again.

    width: channels of the first layer; blocks: how many residual blocks.
    """

    def __init__(self, width: int, blocks: int):
        super().__init__()
        w = width
        self.encoder = nn.ModuleDict(
            {
                "down_0": ReflectConv(3, w, 7),
                "down_1": ReflectConv(w, 2 * w, 3, 2),
                "down_2": ReflectConv(2 * w, 4 * w, 3, 2),
            }
        )
        self.blocks = nn.ModuleDict({f"block_{i}": Block(4 * w) for i in range(blocks)})
        self.decoder = nn.ModuleDict(
            {
                "up_0": ReflectConv(4 * w, 2 * w, 3),
                "up_1": ReflectConv(2 * w, w, 3),
                "out": ReflectConv(w, 3, 7),
            }
        )

    def forward(self, x):
        """[B, 3, H, W] in [0, 1] -> the same shape, around [0, 1], not clipped."""
        h = 2 * x - 1
        for conv in self.encoder.values():
            h = F.relu(instance_norm(conv(h)))
        for block in self.blocks.values():
            h = block(h)
        for name in ("up_0", "up_1"):
            h = F.interpolate(h, scale_factor=2.0, mode="nearest")
            h = F.relu(instance_norm(self.decoder[name](h)))
        return (self.decoder["out"](h) + 1) / 2
