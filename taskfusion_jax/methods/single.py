"""A network for every task: nothing is shared (paper 004, Single; paper 003, scratch)."""

from typing import ClassVar

import jax
import numpy as np

from taskfusion_jax.methods.backbone import without
from taskfusion_jax.methods.base import Routed
from taskfusion_jax.models.conditioning import AffineNorm


class Single(Routed):
    """Parameters: `task_SLOT/...`, one backbone each."""

    parts: ClassVar = {"norm": AffineNorm}

    def init(self, rng):
        """Fresh parameters, others for each task."""
        keys, slots = jax.random.split(rng, self.slots), sorted(self.channels)
        head = self.backbone.head
        # Compiled once for all: random numbers make long programs.
        every = jax.vmap(lambda key: without(self.init_net(key), head))(keys[np.array(slots)])
        nets = {}
        for i, slot in enumerate(slots):
            own = self.backbone.init_head(keys[slot], self.channels[slot]) if head else {}
            nets[f"task_{slot}"] = {**jax.tree.map(lambda x, i=i: x[i], every), **own}
        return nets

    def network(self, params, slot):
        """See `Routed.network`."""
        return params[f"task_{slot}"]
