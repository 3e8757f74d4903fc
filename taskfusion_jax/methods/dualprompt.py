"""DualPrompt: a prefix that all tasks share and one for each task, found by its key.

Wang et al. 2022, "DualPrompt: Complementary Prompting for Rehearsal-free Continual Learning".
"""

import jax
import jax.numpy as jnp

from taskfusion_jax.errors import UserError
from taskfusion_jax.methods.l2p import cosines
from taskfusion_jax.methods.parts.base import joined
from taskfusion_jax.methods.parts.prefixes import init_prefix
from taskfusion_jax.methods.vit_parts import ViTParts

GENERAL, EXPERT = "general", "expert"


class DualPrompt(ViTParts):
    """Parameters: as `vit_parts`; `general/block_I/{keys, values}`, which every stage moves;
    `task_SLOT/expert/block_I/{keys, values}` and `task_SLOT/key [width]`.

    In training, and where the task is known, a task's own expert is used; else the one whose key
    is nearest to the image, see `nearest`.
    """

    pooled = True

    def __init__(self, config, channels):
        """As `ViTParts`, with `config.dualprompt`."""
        super().__init__(config, channels)
        self.options, depth = config.dualprompt, self.backbone.net.depth
        for name in (GENERAL, EXPERT):
            length, blocks = self.options[name], self.options[f"{name}_blocks"]
            if length < 1:
                raise UserError(f"config.dualprompt.{name}={length} must be at least 1")
            if not all(0 <= block < depth for block in blocks):
                raise UserError(
                    f"config.dualprompt.{name}_blocks={blocks} must be within 0..{depth - 1}, the "
                    f"blocks of {config.vit.variant}"
                )

    def init(self, rng):
        """Fresh parameters."""
        params = super().init(rng)
        params[GENERAL] = self._prefix(jax.random.fold_in(rng, len(params)), GENERAL)
        for slot in self.channels:
            key = jax.random.fold_in(rng, 1000 + slot)
            task = params[f"task_{slot}"]
            task[EXPERT] = self._prefix(key, EXPERT)
            task["key"] = jax.random.uniform(key, (self.backbone.net.width,), minval=-1.0)
        return params

    def _prefix(self, rng: jax.Array, kind: str) -> dict:
        length, blocks = self.options[kind], self.options[f"{kind}_blocks"]
        keys = jax.random.split(rng, len(blocks))
        net = self.backbone.net
        return {
            f"block_{i}": init_prefix(k, length, net) for k, i in zip(keys, blocks, strict=True)
        }

    def network(self, params, slot):
        """See `Routed.network`."""
        net = super().network(params, slot)
        hooks = self.backbone.hooks
        both = joined(params[GENERAL], params[f"task_{slot}"][EXPERT])
        return {**net, hooks: joined(net[hooks], both)}

    def aside(self, params, x, c):
        """`key/pull`: one minus the likeness of images and their task's key."""
        own = params[f"task_{self._slot(c[0])}"]["key"]
        likeness = cosines(self._query(params, x), own[None])
        return {"key/pull": self.options.pull * jnp.mean(1 - likeness)}

    def nearest(self, params: dict, x: jax.Array, slots: tuple[int, ...]) -> jax.Array:
        """For images [B, H, W, 3] the place in `slots` of the task with the nearest key, [B]."""
        keys = jnp.stack([params[f"task_{slot}"]["key"] for slot in slots])
        return jnp.argmax(cosines(self._query(params, x), keys), axis=1)

    def _query(self, params: dict, x: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(self.backbone.features(params["base"], x))
