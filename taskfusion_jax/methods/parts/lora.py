"""LoRA: low-rank updates of the queries' and values' weights (Hu et al. 2022)."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from taskfusion_jax.methods.parts.base import Part
from taskfusion_jax.methods.parts.rkr import low_rank


class LoRA(Part):
    """`block_I/{q, v}/{down [width, rank], up [rank, width]}`; `scale` is the paper's alpha / r."""

    least: ClassVar = {"rank": 1}

    def init(self, rng, base):
        """See `Part.init`."""
        keys = jax.random.split(rng, 2 * self.vit.depth).reshape(self.vit.depth, 2)
        width = self.vit.width

        def block(i):
            return {
                name: low_rank(keys[i, j], width, self.options.rank, width)
                for j, name in enumerate("qv")
            }

        return self.each_block(block)

    def hooks(self, own):
        """See `Part.hooks`. Queries, keys and values come from one layer, in this order."""

        def block(part):
            q, v = part["q"], part["v"]
            nothing = jnp.zeros_like(q["up"])
            up = [
                jnp.concatenate([q["up"], nothing, nothing], axis=1),
                jnp.concatenate([nothing, nothing, v["up"]], axis=1),
            ]
            down = jnp.concatenate([q["down"], v["down"]], axis=1)
            return {"qkv": {"down": down, "up": self.options.scale * jnp.concatenate(up)}}

        return {name: block(part) for name, part in own.items()}
