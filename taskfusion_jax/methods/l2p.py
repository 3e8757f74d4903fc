"""L2P: a pool of prompts, of which every image picks its own.

Wang et al. 2022, "Learning to Prompt for Continual Learning". No task is named when prompts are
picked: an image's nearest keys decide.
"""

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.errors import UserError
from taskfusion_jax.methods.backbone import without
from taskfusion_jax.methods.parts.prompts import SIZE
from taskfusion_jax.methods.vit_parts import ViTParts
from taskfusion_jax.models.vit import ViT


class L2P(ViTParts):
    """Parameters: as `vit_parts`, and `pool/{keys [size, width], prompts [size, length, width]}`.

    Classes are read from the prompts' mean, as in the paper. With `config.pool.batchwise`, the
    rows of a training batch that lie on one device share the prompts that most of them picked, as
    in the paper's code; rows are never mixed in evaluation, where that would be looking at the
    test set.
    """

    pooled = True

    def __init__(self, config, channels):
        """As `ViTParts`, with `config.pool`."""
        super().__init__(config, channels)
        self.options = o = config.pool
        for name in ("size", "length", "top"):
            if o[name] < 1:
                raise UserError(f"config.pool.{name}={o[name]} must be at least 1")
        if o.top > o.size:
            raise UserError(f"config.pool.top={o.top} is more than config.pool.size={o.size}")
        self.net = self.backbone.net.clone(read_prompts=True)

    def init(self, rng):
        """Fresh parameters."""
        params, o = super().init(rng), self.options
        keys = jax.random.split(jax.random.fold_in(rng, len(params)))
        width = self.backbone.net.width
        return {
            **params,
            "pool": {
                "keys": jax.random.uniform(keys[0], (o.size, width), minval=-1.0),
                "prompts": SIZE * jax.random.normal(keys[1], (o.size, o.length, width)),
            },
        }

    def network(self, params, slot):
        """See `Routed.network`."""
        return {**super().network(params, slot), "pool": params["pool"]}

    def run(self, picked, x, c):
        """See `Method.run`."""
        return self._with(self.net, picked, x, self.choice(picked, x)[0])

    def represent(self, picked, x):
        """See `Method.represent`: the prompts' mean."""
        reader = self.net.clone(classes=0)
        return self._with(reader, picked, x, self.choice(picked, x)[0])

    def apply(self, params, x, c):
        """See `Method.apply`; all rows are of one task, see `check_moves`."""
        picked = self.pick(params, c[0])
        return self._with(self.net, picked, x, self._in_training(picked, x)[0])

    def aside(self, params, x, c):
        """`pool/pull`: one minus the likeness of every image and each key picked for it, summed
        over the keys, times `config.pool.pull`."""
        _, likeness = self._in_training(self.pick(params, c[0]), x)
        return {"pool/pull": self.options.pull * jnp.mean(jnp.sum(1 - likeness, axis=1))}

    def _in_training(self, picked: dict, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As `choice`, or what most rows picked for all of them."""
        chosen, values = self.choice(picked, x)
        if not self.options.batchwise:
            return chosen, values
        votes = jnp.bincount(chosen.reshape(-1), length=self.options.size)
        _, common = jax.lax.top_k(votes, self.options.top)
        likeness = cosines(self._query(picked, x), picked["pool"]["keys"][common])
        return jnp.broadcast_to(common[None], chosen.shape), likeness

    def choice(self, picked: dict, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The prompts that images [B, H, W, 3] pick, and the cosines to their keys; [B, top]."""
        likeness = cosines(self._query(picked, x), picked["pool"]["keys"])
        values, chosen = jax.lax.top_k(likeness, self.options.top)
        return chosen, values

    def _query(self, picked: dict, x: jax.Array) -> jax.Array:
        base = without(picked, "pool")
        return jax.lax.stop_gradient(self.backbone.features(base, x))

    def _with(self, net: ViT, picked: dict, x: jax.Array, chosen: jax.Array) -> jax.Array:
        tokens = picked["pool"]["prompts"][chosen].reshape(len(x), -1, net.width)
        base = without(picked, "pool")
        return self.backbone.run_with(net, {**base, self.backbone.hooks: {"tokens": tokens}}, x)


def cosines(a: jax.Array, b: jax.Array) -> jax.Array:
    """Of the angles between rows: [A, D], [B, D] -> [A, B], float32."""

    def unit(x):
        x = x.astype(jnp.float32)
        return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), np.float32(1e-6))

    return unit(a) @ unit(b).T
