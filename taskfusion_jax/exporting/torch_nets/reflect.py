"""What networks that pad by reflection have in common."""

import torch.nn.functional as F
from torch import nn


class ReflectConv(nn.Module):
    """A convolution of the image padded by reflection."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)
        self.pad = (kernel // 2,) * 4

    def forward(self, x):
        return self.conv(F.pad(x, self.pad, mode="reflect"))


def instance_norm(x):
    """Each channel of each image with mean 0 and variance 1."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) * ((x - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-5).rsqrt()
