"""A network for every task: nothing is shared (paper 004, Single; paper 003, scratch)."""

from typing import ClassVar

import jax

from taskfusion_jax.methods.base import Routed
from taskfusion_jax.models.conditioning import AffineNorm


class Single(Routed):
    """Parameters: `task_SLOT/...`, one backbone each."""

    parts: ClassVar = {"norm": AffineNorm}

    def init(self, rng):
        """Fresh parameters, others for each task."""
        keys = jax.random.split(rng, self.slots)
        return {f"task_{slot}": self.init_net(keys[slot], slot) for slot in sorted(self.channels)}

    def network(self, params, slot):
        """See `Routed.network`."""
        return params[f"task_{slot}"]
