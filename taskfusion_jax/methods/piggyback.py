"""Piggyback: one frozen network, a 1-bit mask on its weights for each further task (paper 004)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.base import Routed
from taskfusion_jax.methods.masks import init_masks, masked
from taskfusion_jax.models.conditioning import AffineNorm


class Piggyback(Routed):
    """Parameters: `base/...`; for every other task `task_SLOT/mask/...` and `task_SLOT/own/...`.

    `own` parameters (the output layer) have no mask; they are added to the base's, so they start
    as the base's.
    Stages train `base` first, then the tasks' parts while `base` stands still.
    """

    parts: ClassVar = {"norm": AffineNorm}

    def __init__(self, config: ConfigDict):
        """config: also `config.piggyback` is read. Raises UserError for an unknown base task."""
        super().__init__(config)
        self.options = config.piggyback
        if self.options.base not in config.tasks:
            hint = did_you_mean(self.options.base, config.tasks)
            raise UserError(f"config.piggyback.base: no task '{self.options.base}'{hint}")
        self.base = config.tasks[self.options.base].slot
        self.others = [slot for slot in range(self.slots) if slot != self.base]

    def init(self, rng):
        """Fresh parameters."""
        base = self.init_net(rng)
        own, shared = names.split(base, self.options.own, "config.piggyback.own")
        task = {"own": names.unflatten(jax.tree.map(jnp.zeros_like, own))}
        task["mask"] = init_masks(shared, self.options.masked, self.options.start)
        copies = {f"task_{slot}": jax.tree.map(jnp.copy, task) for slot in self.others}
        return {"base": base, **copies}

    def network(self, params, slot):
        """See `Routed.network`."""
        if slot == self.base:
            return params["base"]
        task = params[f"task_{slot}"]
        flat = names.flatten(masked(params["base"], task["mask"], self.options.threshold))
        added = {k: flat[k] + x for k, x in names.flatten(task["own"]).items()}
        return names.unflatten({**flat, **added})

    def mask_bits(self, shapes, slot):
        """See `Method.mask_bits`."""
        return sum(x.size for k, x in shapes.items() if k.startswith(f"task_{slot}/mask/"))
