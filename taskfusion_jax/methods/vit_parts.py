"""One frozen vision transformer, and a few parameters of each task's own (paper 000, 2)."""

from typing import ClassVar

import jax
from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.backbone import without
from taskfusion_jax.methods.base import Routed
from taskfusion_jax.methods.parts.base import joined
from taskfusion_jax.methods.parts.registry import build_parts


class ViTParts(Routed):
    """Parameters: `base/...`, without a head; `task_SLOT/head/...`; `task_SLOT/PART/...` of every
    part that `config.parts.use` names, for tasks that are not in `config.parts.base`.

    What moves is the stage's to say: the task's own (`net/task_SLOT/.*`) or the base as well.
    """

    backbones = ("vit",)
    pooled: ClassVar[bool] = False
    """Whether prompts come from a pool, in place of parts that are a task's own."""

    def __init__(self, config: ConfigDict, channels):
        """config: also `config.parts` and `config.vit` are read.

        Raises:
          UserError: an unknown part or task of the base, or an option out of range.
        """
        super().__init__(config, channels)
        if self.pooled and tuple(config.parts.use):
            raise UserError(
                f"config.parts.use={tuple(config.parts.use)}: method {config.method} has prompts "
                "of its own, found without knowing the task; set it to ()"
            )
        self.parts = build_parts(config, self.backbone.net)
        for name in config.parts.base:
            if name not in config.tasks:
                hint = did_you_mean(name, config.tasks)
                raise UserError(f"config.parts.base: no task '{name}'{hint}")
        self.plain = {config.tasks[name].slot for name in config.parts.base}

    def check_moves(self, moving, slots, field):
        """See `Method.check_moves`."""
        if self.pooled and len(slots) > 1:
            raise UserError(
                f"{field.removesuffix('.trainable')}.rows: a pool learns one task at a time; give "
                "each a stage of its own"
            )

    def init(self, rng):
        """Fresh parameters; `pretrained` may replace the base's."""
        base = without(self.init_net(rng), self.backbone.head)
        params = {"base": base}
        for slot, classes in sorted(self.channels.items()):
            key = jax.random.fold_in(rng, slot)
            task = self.backbone.init_head(key, classes)
            for name, part in self.parts.items() if slot not in self.plain else ():
                key, mine = jax.random.split(key)
                task[name] = part.init(mine, base)
            params[f"task_{slot}"] = task
        return params

    def represent(self, picked, x):
        """See `Method.represent`: the class token."""
        return self.backbone.run_with(self.backbone.featuriser, picked, x)

    def network(self, params, slot):
        """See `Routed.network`."""
        own, head = params[f"task_{slot}"], self.backbone.head
        net, hooks = {**params["base"], head: own[head]}, {}
        for name, part in self.parts.items():
            if name in own:
                net = part.weights(net, own[name])
                hooks = joined(hooks, part.hooks(own[name]))
        return {**net, self.backbone.hooks: hooks}
