"""A network for every task: nothing is shared (paper 004, baseline Single)."""

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
        return {f"task_{slot}": self.init_net(key) for slot, key in enumerate(keys)}

    def network(self, params, slot):
        """See `Routed.network`."""
        return params[f"task_{slot}"]
