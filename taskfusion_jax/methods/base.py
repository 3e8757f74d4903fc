"""What a method is: which parameters a task vector uses, and how rows of many tasks run."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.transform_net import TransformNet

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
_IMAGE = (1, 16, 16, 3)


class Method:
    """One backbone, and where each task's own part sits. Subclasses fill in that blank.

    Attributes:
      slots: width of the task vector.
      dtype: of the computation.
      net: the backbone.
    """

    blends: ClassVar[bool] = True
    """Whether one vector may ask for several tasks, and for a task at half its strength."""
    parts: ClassVar[Mapping[str, Any]] = {}
    """What the backbone is built with: norms and attention of `models.conditioning`."""

    def __init__(self, config: ConfigDict):
        """config: the whole config, of which slots, dtype and network are read."""
        self.slots, self.dtype = config.slots, DTYPES[config.dtype]
        self.net = TransformNet(dtype=self.dtype, **self.parts, **config.network.to_dict())

    def init(self, rng: jax.Array) -> dict:
        """Fresh parameters."""
        return self.init_net(rng)

    def init_net(self, rng: jax.Array) -> dict:
        """Fresh parameters of one backbone."""
        return self.net.init(rng, jnp.zeros(_IMAGE), jnp.zeros((1, self.slots)))["params"]

    def pick(self, params: dict, vector: np.ndarray) -> dict:
        """The backbone's parameters for a task vector, float32 [slots].

        Raises:
          UserError: the method cannot do what the vector asks for.
        """
        return params

    def run(self, picked: dict, x: jax.Array, c: jax.Array) -> jax.Array:
        """The backbone: x: [B, H, W, 3] in [0, 1], c: [B, slots] -> [B, H, W, 3] around [0, 1]."""
        return self.net.apply({"params": picked}, x, c)

    def apply(self, params: dict, x: jax.Array, c: np.ndarray) -> jax.Array:
        """As `run`, for rows of any tasks."""
        return self.run(params, x, c)

    def per_task(self, shapes: Mapping[str, Any], slot: int) -> int:
        """How many parameters only the task in `slot` uses. shapes: by slash-joined name."""
        return 0

    def mask_bits(self, shapes: Mapping[str, Any], slot: int) -> int:
        """How many 1-bit weights of masks only the task in `slot` uses."""
        return 0


def each_apart(method: Method, params: dict, x: jax.Array, c: np.ndarray) -> jax.Array:
    """Runs the rows of each vector with the parameters picked for it; as `Method.apply`."""
    parts, places = [], []
    for vector in np.unique(c, axis=0):
        rows = np.flatnonzero((c == vector).all(axis=1))
        parts.append(method.run(method.pick(params, vector), x[rows], c[rows]))
        places.append(rows)
    return jnp.concatenate(parts)[np.argsort(np.concatenate(places))]


class Told(Method):
    """Every row goes through one shared network, which is told its task by the vector."""

    def per_task(self, shapes, slot):
        """A task owns its row of every matrix that the vector is multiplied with; slot 0 none."""
        own = ("generator/kernel", "task/kernel", "gate/kernel")
        return sum(x.shape[1] for name, x in shapes.items() if slot and name.endswith(own))


class Routed(Method):
    """Every row goes through its own task's network, which `network` puts together."""

    blends = False

    def network(self, params: dict, slot: int) -> dict:
        """The backbone's parameters for the task in `slot`."""
        raise NotImplementedError

    def pick(self, params, vector):
        """See `Method.pick`."""
        return self.network(params, self._slot(vector))

    def apply(self, params, x, c):
        """See `Method.apply`; c must be known when compiling, as rows are sorted by task."""
        return each_apart(self, params, x, c)

    def _slot(self, vector: np.ndarray) -> int:
        asked = np.flatnonzero(vector)
        if len(asked) > 1 or not np.all(vector[asked] == 1):
            raise UserError(
                f"this method has a network per task, so it can do one task at strength 1, not "
                f"{np.asarray(vector).tolist()}"
            )
        return int(asked[0]) if len(asked) else 0

    def per_task(self, shapes, slot):
        """A task owns what lies below its own name, but for masks."""
        return sum(
            x.size
            for name, x in shapes.items()
            if name.startswith(f"task_{slot}/") and "/mask/" not in name
        )
