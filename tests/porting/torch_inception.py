"""The InceptionV3 of FID in PyTorch, its arrays named as in the file that pytorch-fid published.

Layer by layer as pytorch-fid writes it (torchvision's InceptionV3 with other pools), in NCHW and
with batch norms, from tables of what each convolution is: (name, outputs, kernel, stride, padding).
"""

import torch
import torch.nn.functional as F
from torch import nn


class Unit(nn.Module):
    """Convolution without a bias, batch norm with epsilon 0.001, ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def mean_pool(x):
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def max_pool(x):
    return F.max_pool2d(x, 3, stride=1, padding=1)


def shrink(x):
    return F.max_pool2d(x, 3, stride=2)


class Mixed(nn.Module):
    """Branches side by side; a table entry that is a list splits, and ends, its branch."""

    def __init__(self, inputs, branches, pool, pooled=None):
        super().__init__()
        self.branches, self.pool, self.pooled = branches, pool, pooled
        for branch in branches:
            channels = inputs
            for entry in branch:
                for name, outputs, *rest in entry if isinstance(entry, list) else [entry]:
                    self.add_module(name, Unit(channels, outputs, *rest))
                channels = outputs
        if pooled:
            self.branch_pool = Unit(inputs, pooled, 1)

    def forward(self, x):
        outs = []
        for branch in self.branches:
            y = x
            for entry in branch:
                if isinstance(entry, list):
                    y = torch.cat([getattr(self, name)(y) for name, *_ in entry], 1)
                else:
                    y = getattr(self, entry[0])(y)
            outs.append(y)
        pool = self.pool(x)
        return torch.cat([*outs, self.branch_pool(pool) if self.pooled else pool], 1)


def a(inputs, pooled):
    five = [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5, 1, 2)]
    three = [
        ("branch3x3dbl_1", 64, 1),
        ("branch3x3dbl_2", 96, 3, 1, 1),
        ("branch3x3dbl_3", 96, 3, 1, 1),
    ]
    return Mixed(inputs, [[("branch1x1", 64, 1)], five, three], mean_pool, pooled)


def b(inputs):
    twice = [
        ("branch3x3dbl_1", 64, 1),
        ("branch3x3dbl_2", 96, 3, 1, 1),
        ("branch3x3dbl_3", 96, 3, 2),
    ]
    return Mixed(inputs, [[("branch3x3", 384, 3, 2)], twice], shrink)


def c(inputs, width):
    row, column = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
    once = [
        ("branch7x7_1", width, 1),
        ("branch7x7_2", width, *row),
        ("branch7x7_3", 192, *column),
    ]
    twice = [
        ("branch7x7dbl_1", width, 1),
        ("branch7x7dbl_2", width, *column),
        ("branch7x7dbl_3", width, *row),
        ("branch7x7dbl_4", width, *column),
        ("branch7x7dbl_5", 192, *row),
    ]
    return Mixed(inputs, [[("branch1x1", 192, 1)], once, twice], mean_pool, 192)


def d(inputs):
    three = [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)]
    seven = [
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7), 1, (0, 3)),
        ("branch7x7x3_3", 192, (7, 1), 1, (3, 0)),
        ("branch7x7x3_4", 192, 3, 2),
    ]
    return Mixed(inputs, [three, seven], shrink)


def e(inputs, pool):
    row, column = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
    three = [
        ("branch3x3_1", 384, 1),
        [("branch3x3_2a", 384, *row), ("branch3x3_2b", 384, *column)],
    ]
    deeper = [
        ("branch3x3dbl_1", 448, 1),
        ("branch3x3dbl_2", 384, 3, 1, 1),
        [("branch3x3dbl_3a", 384, *row), ("branch3x3dbl_3b", 384, *column)],
    ]
    return Mixed(inputs, [[("branch1x1", 320, 1)], three, deeper], pool, 192)


class FIDInception(nn.Module):
    """x: [B, 3, H, W] in [0, 1] -> [B, 2048]. `fc` is in the file, and of no use here."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = a(192, 32), a(256, 64), a(288, 64)
        self.Mixed_6a = b(288)
        self.Mixed_6b, self.Mixed_6c = c(768, 128), c(768, 160)
        self.Mixed_6d, self.Mixed_6e = c(768, 160), c(768, 192)
        self.Mixed_7a = d(768)
        self.Mixed_7b, self.Mixed_7c = e(1280, mean_pool), e(2048, max_pool)
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x):
        x = 2 * F.interpolate(x, (299, 299), mode="bilinear", align_corners=False) - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = shrink(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(shrink(x))))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))


def random_network(seed):
    """A network in evaluation mode whose features neither vanish nor grow, with all its arrays
    away from what they start as."""
    draw = torch.Generator().manual_seed(seed)
    network = FIDInception().eval()
    for unit in network.modules():
        if isinstance(unit, Unit):
            fan_in = unit.conv.weight[0].numel()
            nn.init.normal_(unit.conv.weight, 0.0, (2 / fan_in) ** 0.5, generator=draw)
            nn.init.uniform_(unit.bn.weight, 0.7, 1.3, generator=draw)
            nn.init.normal_(unit.bn.bias, 0.0, 0.2, generator=draw)
            nn.init.normal_(unit.bn.running_mean, 0.0, 0.2, generator=draw)
            nn.init.uniform_(unit.bn.running_var, 0.5, 1.5, generator=draw)
    return network
