"""Prompts: learnt tokens beside the image's own (Jia et al. 2022, Visual Prompt Tuning)."""

from typing import ClassVar

import jax

from taskfusion_jax.methods.parts.base import Part

SIZE = 0.02
"""Standard deviation of fresh tokens, as of position embeddings."""


class Prompts(Part):
    """`tokens` [length, width], which enter before the first block and stay (VPT-shallow)."""

    least: ClassVar = {"length": 1}

    def init(self, rng, base):
        """See `Part.init`."""
        return {"tokens": SIZE * jax.random.normal(rng, (self.options.length, self.vit.width))}

    def hooks(self, own):
        """See `Part.hooks`."""
        return own


class DeepPrompts(Part):
    """`block_I/tokens` [length, width], others in every block (VPT-deep)."""

    least: ClassVar = {"length": 1}

    def init(self, rng, base):
        """See `Part.init`."""
        shape = self.options.length, self.vit.width
        keys = jax.random.split(rng, self.vit.depth)
        return self.each_block(lambda i: {"tokens": SIZE * jax.random.normal(keys[i], shape)})

    def hooks(self, own):
        """See `Part.hooks`."""
        return own
