"""Prefixes: learnt keys and values in every block's attention (Li & Liang 2021, Prefix-Tuning)."""

from typing import ClassVar

import jax

from taskfusion_jax.methods.parts.base import Part
from taskfusion_jax.methods.parts.prompts import SIZE


class Prefixes(Part):
    """`block_I/keys`, `block_I/values` [length, heads, width / heads].

    A prefix has no queries, so it costs less time than as many prompts, and twice the parameters.
    """

    least: ClassVar = {"length": 1}

    def init(self, rng, base):
        """See `Part.init`."""
        keys = jax.random.split(rng, self.vit.depth)
        return self.each_block(lambda i: init_prefix(keys[i], self.options.length, self.vit))

    def hooks(self, own):
        """See `Part.hooks`."""
        return own


def init_prefix(rng: jax.Array, length: int, vit) -> dict:
    """Fresh `keys` and `values` of one block, as small as fresh prompts.

    L2P's code draws them from [-1, 1]: that disturbs a small network more than a short training
    mends.
    """
    shape = length, vit.heads, vit.width // vit.heads
    draw = SIZE * jax.random.normal(rng, (2, *shape))
    return {"keys": draw[0], "values": draw[1]}
