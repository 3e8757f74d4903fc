"""The twin of `models.unet.UNet`."""

import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import nn

from taskfusion_jax.benchmark.twins.layers import DTYPES, Conv


class _UpConv(nn.ConvTranspose2d):
    """2x2, stride 2, channels kept; computes in `dtype`."""

    def __init__(self, channels: int, dtype: torch.dtype):
        super().__init__(channels, channels, 2, 2)
        self.compute = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.to(self.compute), self.bias.to(self.compute)
        return F.conv_transpose2d(x.to(self.compute), weight, bias, stride=2)


class _TwoConvs(nn.Module):
    def __init__(self, inputs: int, features: int, dtype: torch.dtype):
        super().__init__()
        self.conv_0 = Conv(inputs, features, 3, padding=1, dtype=dtype)
        self.conv_1 = Conv(features, features, 3, padding=1, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv_1(F.relu(self.conv_0(x))))


class UNet(nn.Module):
    """Same parameter names; images are [B, 3, H, W]."""

    def __init__(self, out: int, widths: tuple[int, ...], dtype: torch.dtype):
        super().__init__()
        self.levels = len(widths)
        self.encoder, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        for i, width in enumerate(widths):
            self.encoder[f"level_{i}"] = _TwoConvs(widths[i - 1] if i else 3, width, dtype)
        below = widths[-1]
        for i in reversed(range(len(widths) - 1)):
            self.decoder[f"up_{i}"] = _UpConv(below, dtype)
            features = widths[max(i - 1, 0)]
            self.decoder[f"level_{i}"] = _TwoConvs(below + widths[i], features, dtype)
            below = features
        self.head = Conv(below, out, 1, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, out, H, W] float32."""
        maps = []
        for i in range(self.levels):
            x = self.encoder[f"level_{i}"](F.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(self.levels - 1)):
            x = torch.cat([self.decoder[f"up_{i}"](x), maps[i]], dim=1)
            x = self.decoder[f"level_{i}"](x)
        return self.head(x).float()


def build(config: ConfigDict) -> nn.Module:
    """The network of a config such as `configs/bench_unet.py`."""
    options = config.network
    return UNet(options.classes, tuple(options.widths), DTYPES[config.dtype])
