"""The twins of the networks that judge: PatchGAN and VGG16."""

import torch
import torch.nn.functional as F
from torch import nn

from taskfusion_jax.benchmark.twins.layers import Conv
from taskfusion_jax.models.vgg16 import CONVS

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class PatchGAN(nn.Module):
    """See `models.patch_gan.PatchGAN`; same parameter names."""

    def __init__(self, slots: int, dtype: torch.dtype, width: int, layers: int):
        super().__init__()
        self.layers = layers
        widths = [3 + slots, *(width * 2 ** min(i, 3) for i in range(layers + 1)), 1]
        for i in range(layers + 2):
            stride = 2 if i < layers else 1
            conv = Conv(widths[i], widths[i + 1], 4, stride, padding=1, dtype=dtype)
            self.add_module(f"Conv_{i}", conv)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """x: [B, 3, H, W] in [0, 1], c: [B, slots] -> [B, 1, h, w] float32."""
        planes = c[:, :, None, None].expand(*c.shape, *x.shape[2:])
        h = torch.cat([2 * x - 1, planes], dim=1)
        for i in range(self.layers + 1):
            h = self.get_submodule(f"Conv_{i}")(h)
            h = F.leaky_relu(h if i == 0 else F.instance_norm(h), 0.2)
        return self.get_submodule(f"Conv_{self.layers + 1}")(h).float()


class VGG16(nn.Module):
    """See `models.vgg16.VGG16`; only as deep as the deepest layer asked for."""

    def __init__(self, layers: tuple[str, ...], dtype: torch.dtype):
        super().__init__()
        self.layers = layers
        relus = [conv.replace("conv", "relu") for conv in CONVS]
        self.convs = list(CONVS)[: 1 + max(map(relus.index, layers))]
        inputs = 3
        for conv in self.convs:
            self.add_module(conv, Conv(inputs, CONVS[conv], 3, padding=1, dtype=dtype))
            inputs = CONVS[conv]
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(_STD)[:, None, None])

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """x: [B, 3, H, W] in [0, 1] -> layer name -> [B, C, H / s, W / s]."""
        x, features = (x - self.mean) / self.std, {}
        for conv in self.convs:
            if conv.endswith("_1") and conv != "conv1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(self.get_submodule(conv)(x))
            if (relu := conv.replace("conv", "relu")) in self.layers:
                features[relu] = x
        return features


def gram(features: torch.Tensor) -> torch.Tensor:
    """Gram matrices divided by C*H*W. [B, C, H, W] -> [B, C, C] float32."""
    flat = features.flatten(2)
    return (flat @ flat.mT).float() / features[0].numel()
