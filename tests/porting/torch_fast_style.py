"""The network of PyTorch's examples/fast_neural_style, by its names; images 0 to 255."""

import torch
import torch.nn.functional as F
from torch import nn


class ConvLayer(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, larger=1):
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, stride)
        self.larger = larger

    def forward(self, x):
        x = F.interpolate(x, mode="nearest", scale_factor=self.larger) if self.larger > 1 else x
        return self.conv2d(self.reflection_pad(x))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = (ConvLayer(channels, channels, 3, 1) for _ in range(2))
        self.in1, self.in2 = (nn.InstanceNorm2d(channels, affine=True) for _ in range(2))

    def forward(self, x):
        return x + self.in2(self.conv2(F.relu(self.in1(self.conv1(x)))))


class TransformerNet(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = {"conv1": (3, 32, 9, 1), "conv2": (32, 64, 3, 2), "conv3": (64, 128, 3, 2)}
        larger = {"deconv1": (128, 64, 3, 1, 2), "deconv2": (64, 32, 3, 1, 2)}
        for i, (name, size) in enumerate({**sizes, **larger}.items(), start=1):
            self.add_module(name, ConvLayer(*size))
            self.add_module(f"in{i}", nn.InstanceNorm2d(size[1], affine=True))
        for i in range(1, 6):
            self.add_module(f"res{i}", Residual(128))
        self.deconv3 = ConvLayer(32, 3, 9, 1)

    def forward(self, x):
        for i in range(1, 4):
            x = F.relu(self.get_submodule(f"in{i}")(self.get_submodule(f"conv{i}")(x)))
        for i in range(1, 6):
            x = self.get_submodule(f"res{i}")(x)
        for i in (1, 2):
            x = F.relu(self.get_submodule(f"in{i + 3}")(self.get_submodule(f"deconv{i}")(x)))
        return self.deconv3(x)


def noisy():
    """One whose every parameter is random, as after training."""
    torch.manual_seed(0)
    net = TransformerNet()
    with torch.no_grad():
        for name, x in net.named_parameters():
            if ".in" in f".{name}":
                x.add_(0.3 * torch.randn_like(x))
    return net.eval()
