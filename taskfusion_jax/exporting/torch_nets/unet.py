"""The U-Net of one image-translation task. Needs PyTorch alone.

net = load("model.safetensors")    # also needs the package safetensors
y = net(x)                         # x: [B, 3, H, W] in [0, 1]; README.md says what y is
"""

import torch
import torch.nn.functional as F
from torch import nn


class TwoConvs(nn.Module):
    """Two 3x3 convolutions with zero padding, a ReLU after each."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv_0 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x):
        return F.relu(self.conv_1(F.relu(self.conv_0(x))))


class Net(nn.Module):
    """Max-pooling down, transposed convolutions up, joined with the maps of the way down.

    outputs: channels of the result; widths: channels of each level.
    """

    def __init__(self, outputs: int, widths: list[int]):
        super().__init__()
        self.levels = len(widths)
        self.encoder, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        for i, width in enumerate(widths):
            self.encoder[f"level_{i}"] = TwoConvs(widths[i - 1] if i else 3, width)
        below = widths[-1]
        for i in reversed(range(len(widths) - 1)):
            self.decoder[f"up_{i}"] = nn.ConvTranspose2d(below, below, 2, 2)
            self.decoder[f"level_{i}"] = TwoConvs(below + widths[i], widths[max(i - 1, 0)])
            below = widths[max(i - 1, 0)]
        self.head = nn.Conv2d(below, outputs, 1)

    def forward(self, x):
        """[B, 3, H, W], sides multiples of 2 ** (levels - 1) -> [B, outputs, H, W]."""
        maps = []
        for i in range(self.levels):
            x = self.encoder[f"level_{i}"](F.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(self.levels - 1)):
            x = torch.cat([self.decoder[f"up_{i}"](x), maps[i]], dim=1)
            x = self.decoder[f"level_{i}"](x)
        return self.head(x)
