"""FiLM fusion: one shared network, one column of its generators per task (paper 004)."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.models.transform_net import TransformNet

PER_TASK = ("generator/kernel", "gate/kernel")
"""Names of the arrays that hold one row per slot of the task vector."""


class Film:
    """The proposed method: every parameter is shared but one generator row per task."""

    def __init__(self, config: ConfigDict, slots: int, dtype: jnp.dtype):
        """config: `config.network`; slots: width of the task vector; dtype: of the compute."""
        self.slots, self.dtype = slots, dtype
        self.net = TransformNet(dtype=dtype, **config.to_dict())

    def init(self, rng: jax.Array) -> dict:
        """Returns fresh parameters."""
        image = jnp.zeros((1, 16, 16, 3))
        return self.net.init(rng, image, jnp.zeros((1, self.slots)))["params"]

    def apply(self, params: dict, x: jax.Array, c: jax.Array) -> jax.Array:
        """x: [B, H, W, 3] in [0, 1], c: [B, slots] -> [B, H, W, 3] around [0, 1]."""
        return self.net.apply({"params": params}, x, c)

    def per_task(self, name: str, shape: tuple[int, ...]) -> int:
        """How many numbers of the parameter `name` (slash-joined) belong to one task alone."""
        return shape[1] if name.endswith(PER_TASK) else 0
