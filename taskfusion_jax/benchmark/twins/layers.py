"""Layers that the twins share. Like Flax's they compute in `dtype` and keep float32 weights."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from taskfusion_jax.benchmark.twins.program import Twin

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Conv(nn.Conv2d):
    """A convolution that computes in `dtype`."""

    def __init__(
        self,
        inputs: int,
        features: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(inputs, features, kernel, stride, padding)
        self.compute = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] -> [B, features, H', W'] in `dtype`."""
        weight, bias = self.weight.to(self.compute), self.bias.to(self.compute)
        return F.conv2d(x.to(self.compute), weight, bias, self.stride, self.padding)


class ReflectConv(nn.Module):
    """See `models.layers.ReflectConv`."""

    def __init__(self, inputs: int, features: int, kernel: int, stride: int, dtype: torch.dtype):
        super().__init__()
        self.conv = Conv(inputs, features, kernel, stride, dtype=dtype)
        self.pad = (kernel // 2,) * 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] -> [B, features, H / stride, W / stride]."""
        return self.conv(F.pad(x, self.pad, mode="reflect"))


class FilmNorm(nn.Module):
    """See `models.layers.FilmNorm`."""

    def __init__(self, features: int, slots: int):
        super().__init__()
        self.generator = nn.Linear(slots, 2 * features)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """x: [B, C, H, W], c: [B, slots] -> [B, C, H, W]."""
        gamma, beta = self.generator(c).to(x.dtype)[:, :, None, None].chunk(2, dim=1)
        return gamma * F.instance_norm(x) + beta


class _Matmul(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a @ b


def matmul_twin(a: np.ndarray, b: np.ndarray, dtype: str) -> Twin:
    """The product of two matrices in `dtype`."""
    inputs = tuple(torch.from_numpy(x).to(DTYPES[dtype]) for x in (a, b))
    return Twin(_Matmul(), inputs, layouts=("nchw",), modes=("eager",))
