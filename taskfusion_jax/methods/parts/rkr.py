"""RKR: low-rank rectifications of weights, and output scales (Singh et al. 2021).

"Rectification-based Knowledge Retention for Continual Learning": W + L R in place of W, and each
feature of a layer's output times a number.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.parts.base import Part

LAYERS = ("qkv", "proj", "fc1", "fc2")
"""The dense layers of a block."""


class RKR(Part):
    """`block_I/LAYER/{down [inputs, rank], up [rank, outputs], scale [outputs]}`; the layer's
    output grows by 1 + scale. `config.parts.rkr.layers` says which layers."""

    least: ClassVar = {"rank": 1}

    def __init__(self, name, config, vit):
        """As `Part`. Raises UserError for an unknown layer."""
        super().__init__(name, config, vit)
        self.layers = tuple(self.options.layers)
        for layer in self.layers:
            if layer not in LAYERS:
                hint = did_you_mean(layer, LAYERS)
                raise UserError(f"config.parts.rkr.layers: no layer '{layer}'{hint}")

    def init(self, rng, base):
        """See `Part.init`."""
        keys = jax.random.split(rng, self.vit.depth * len(self.layers)).reshape(self.vit.depth, -1)

        def layer(key, kernel):
            inputs, outputs = kernel.shape
            rank = self.options.rank
            return {**low_rank(key, inputs, rank, outputs), "scale": jnp.zeros((outputs,))}

        return self.each_block(
            lambda i: {
                name: layer(keys[i, j], base[f"block_{i}"][name]["kernel"])
                for j, name in enumerate(self.layers)
            }
        )

    def hooks(self, own):
        """See `Part.hooks`."""
        return own


def low_rank(rng: jax.Array, inputs: int, rank: int, outputs: int) -> dict:
    """`down` drawn at the size of fresh weights, `up` zero: at first their product is none."""
    down = jax.random.normal(rng, (inputs, rank)) * inputs**-0.5
    return {"down": down, "up": jnp.zeros((rank, outputs))}
