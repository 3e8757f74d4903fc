"""Piggyback: one frozen network, a 1-bit mask on its weights for each further task.

Mallya, Davis & Lazebnik 2018; papers 003 and 004.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.backbone import without
from taskfusion_jax.methods.base import Routed
from taskfusion_jax.methods.masks import check_options, init_masks, masked
from taskfusion_jax.models.conditioning import AffineNorm


class Piggyback(Routed):
    """Parameters: `base/...`; for tasks that are no base, `task_SLOT/mask/...`; and
    `task_SLOT/own/...`.

    `own` are parameters without a mask: those that `config.piggyback.own` names are added to the
    base's, so they start as the base's; the output layer, where a backbone lets tasks have one,
    belongs to each task alone, the base's tasks too.
    Stages train `base` first, then the tasks' parts while `base` stands still.
    """

    parts: ClassVar = {"norm": AffineNorm}

    def __init__(self, config: ConfigDict, channels):
        """config: also `config.piggyback` is read. Raises UserError for an unknown base task."""
        super().__init__(config, channels)
        self.options = config.piggyback
        for name in self.options.base:
            if name not in config.tasks:
                hint = did_you_mean(name, config.tasks)
                raise UserError(f"config.piggyback.base: no task '{name}'{hint}")
        if not self.options.base:
            raise UserError(
                "config.piggyback.base names no task, so nobody trains what masks lie on: name the "
                "first task"
            )
        check_options(self.options)
        self.base_name = "+".join(self.options.base)
        self.base = [config.tasks[name].slot for name in self.options.base]

    def init(self, rng):
        """Fresh parameters."""
        whole, head = self.init_net(rng), self.backbone.head
        base = without(whole, head)
        own = {}
        if self.options.own:
            own, _ = names.split(base, self.options.own, "config.piggyback.own")
        shared = names.unflatten({k: x for k, x in names.flatten(base).items() if k not in own})
        chosen, _ = names.split(shared, self.options.masked, "config.piggyback.masked")
        masks = init_masks(chosen, ".*", self.options.start)
        params = {"base": base}
        for slot in sorted(self.channels):
            task = {}
            if slot not in self.base:
                task["mask"] = jax.tree.map(jnp.copy, masks)
                task["own"] = names.unflatten(jax.tree.map(jnp.zeros_like, own))
            if head:
                fresh = self.backbone.init_head(jax.random.fold_in(rng, slot), self.channels[slot])
                task["own"] = {**task.get("own", {}), **fresh}
            if task:
                params[f"task_{slot}"] = {kind: part for kind, part in task.items() if part}
        return params

    def check_moves(self, moving, slots, field):
        """See `Method.check_moves`: masks lie on a base that stands still."""
        shared = [name for name in moving if self.shares(name)]
        if shared and slots - set(self.base):
            raise UserError(
                f"{field} moves {shared[0]}, on which masks lie, so tasks learnt before would "
                "change: let it match the task's own parameters alone (net/task_SLOT/.*)"
            )

    def network(self, params, slot):
        """See `Routed.network`."""
        o, task = self.options, params.get(f"task_{slot}", {})
        base = params["base"]
        if "mask" in task:
            base = masked(base, task["mask"], o.threshold, o.ternary, o.gradient)
        flat = names.flatten(base)
        for name, x in names.flatten(task.get("own", {})).items():
            flat[name] = flat[name] + x if name in flat else x
        return names.unflatten(flat)
