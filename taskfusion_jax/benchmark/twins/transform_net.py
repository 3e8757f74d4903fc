"""The twin of `models.transform_net.TransformNet`."""

import torch
import torch.nn.functional as F
from torch import nn

from taskfusion_jax.benchmark.twins.layers import FilmNorm, ReflectConv


class TransformNet(nn.Module):
    """Same options, same parameter names; images are [B, 3, H, W]."""

    def __init__(
        self,
        slots: int,
        dtype: torch.dtype,
        width: int,
        blocks: int,
        input_gate: bool = False,
        pixel_gate: bool = False,
        skips: bool = False,
        remat: bool = False,
    ):
        """`remat` is left aside: it changes memory, not numbers."""
        super().__init__()
        self.blocks, self.dtype, self.skips = blocks, dtype, skips
        self.input_gate, self.pixel_gate = input_gate, pixel_gate
        w = width

        def conv_norm(name, inputs, features, kernel, stride=1):
            self.add_module(name, ReflectConv(inputs, features, kernel, stride, dtype))
            self.add_module(f"{name}_norm", FilmNorm(features, slots))

        conv_norm("down_0", 3, w, 9)
        conv_norm("down_1", w, 2 * w, 3, 2)
        conv_norm("down_2", 2 * w, 4 * w, 3, 2)
        for i in range(blocks):
            conv_norm(f"block_{i}_a", 4 * w, 4 * w, 3)
            conv_norm(f"block_{i}_b", 4 * w, 4 * w, 3)
        conv_norm("up_0", 4 * w, 2 * w, 3)
        conv_norm("up_1", 2 * w, w, 3)
        if skips:
            self.skip_half, self.skip_full = FilmNorm(2 * w, slots), FilmNorm(w, slots)
        self.out = ReflectConv(w, 3 + pixel_gate, 9, 1, dtype)
        if input_gate:
            self.gate = nn.Linear(slots, 3, bias=False)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """x: [B, 3, H, W] in [0, 1], c: [B, slots] -> [B, 3, H, W] float32."""

        def conv_norm(h, name):
            h = self.get_submodule(name)(h)
            return self.get_submodule(f"{name}_norm")(h, c)

        def up(h, name, skip, encoder):
            h = conv_norm(F.interpolate(h, scale_factor=2.0, mode="nearest"), name)
            return F.relu(h + self.get_submodule(skip)(encoder, c) if self.skips else h)

        x = 2 * x - 1
        full = F.relu(conv_norm(x, "down_0"))
        half = F.relu(conv_norm(full, "down_1"))
        h = F.relu(conv_norm(half, "down_2"))
        for i in range(self.blocks):
            h = h + conv_norm(F.relu(conv_norm(h, f"block_{i}_a")), f"block_{i}_b")
        h = up(h, "up_0", "skip_half", half)
        h = up(h, "up_1", "skip_full", full)
        y = self.out(h).float()
        if self.input_gate:
            gate = (1 + self.gate(c))[:, :, None, None]
            y = y[:, :3] + (gate + y[:, 3:] if self.pixel_gate else gate) * x
        return (y + 1) / 2
