"""The twin of `models.vit.ViT`, with PyTorch's fused attention."""

import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import nn

from taskfusion_jax.benchmark.twins.layers import DTYPES, Conv
from taskfusion_jax.models.vit import ViT as Ours


class _Dense(nn.Linear):
    """Computes in `dtype`."""

    def __init__(self, inputs: int, features: int, dtype: torch.dtype):
        super().__init__(inputs, features)
        self.compute = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.to(self.compute), self.bias.to(self.compute)
        return F.linear(x.to(self.compute), weight, bias)


class _Norm(nn.LayerNorm):
    """Statistics in float32, whatever comes in and goes out."""

    def __init__(self, width: int):
        super().__init__(width, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.float()).to(x.dtype)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dtype: torch.dtype):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = _Norm(width), _Norm(width)
        self.qkv, self.proj = _Dense(width, 3 * width, dtype), _Dense(width, width, dtype)
        self.fc1, self.fc2 = _Dense(width, 4 * width, dtype), _Dense(4 * width, width, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, N, width] -> the same."""
        qkv = self.qkv(self.norm_1(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(attended.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm_2(x))))


class ViT(nn.Module):
    """Same parameter names; images are [B, 3, H, W]."""

    def __init__(self, ours: Ours, size: int, dtype: torch.dtype):
        """size: side of the images in pixels."""
        super().__init__()
        tokens = (size // ours.patch) ** 2 + 1
        embedding = Conv(3, ours.width, ours.patch, ours.patch, dtype=dtype)
        self.patch = nn.ModuleDict({"embedding": embedding})
        self.cls = nn.Parameter(torch.zeros(1, 1, ours.width))
        self.pos_embedding = nn.Parameter(torch.zeros(1, tokens, ours.width))
        self.depth = ours.depth
        for i in range(ours.depth):
            self.add_module(f"block_{i}", _Block(ours.width, ours.heads, dtype))
        self.norm = _Norm(ours.width)
        self.head = _Dense(ours.width, ours.classes, torch.float32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> logits [B, classes] float32."""
        x = self.patch["embedding"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.to(x.dtype).expand(len(x), -1, -1), x], dim=1)
        x = x + self.pos_embedding.to(x.dtype)
        for i in range(self.depth):
            x = self.get_submodule(f"block_{i}")(x)
        return self.head(self.norm(x[:, 0].float()))


def build(config: ConfigDict) -> nn.Module:
    """The network of a config such as `configs/bench_vit.py`."""
    ours = Ours.variant(config.network.variant, classes=config.network.classes)
    return ViT(ours, config.data.size, DTYPES[config.dtype])
