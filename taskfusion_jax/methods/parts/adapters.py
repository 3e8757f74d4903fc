"""Adapters: small networks behind attention and MLP (Houlsby et al. 2019)."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from taskfusion_jax.methods.parts.base import Part


class Adapters(Part):
    """`block_I/adapter_{1, 2}/{down, up}/{kernel, bias}`: width -> `width` -> width, added."""

    least: ClassVar = {"width": 1}

    def init(self, rng, base):
        """See `Part.init`."""
        keys = jax.random.split(rng, 2 * self.vit.depth).reshape(self.vit.depth, 2)
        width, inner = self.vit.width, self.options.width

        def adapter(key):
            down = jax.random.normal(key, (width, inner)) * width**-0.5
            return {
                "down": {"kernel": down, "bias": jnp.zeros((inner,))},
                "up": {"kernel": jnp.zeros((inner, width)), "bias": jnp.zeros((width,))},
            }

        return self.each_block(lambda i: {f"adapter_{j + 1}": adapter(keys[i, j]) for j in (0, 1)})

    def hooks(self, own):
        """See `Part.hooks`."""
        return own
