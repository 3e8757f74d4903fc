"""FiLM, and for each task what it changes of the output layer (ours, for tasks that come later)."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from taskfusion_jax.methods.base import Told, each_apart
from taskfusion_jax.models.conditioning import FilmNorm


class FilmOut(Told):
    """Parameters: `base/...`, and `task_SLOT/out/...`, added at the task's strength to `base/out`.

    They start at zero, so a network starts as `film`, and stays so where they are not trained.
    """

    parts: ClassVar = {"norm": FilmNorm}
    one_network = False

    def init(self, rng):
        """Fresh parameters."""
        base = self.init_net(rng)
        own = {"out": jax.tree.map(jnp.zeros_like, base["out"])}
        others = [slot for slot in sorted(self.channels) if slot]
        tasks = {f"task_{slot}": jax.tree.map(jnp.copy, own) for slot in others}
        return {"base": base, **tasks}

    def pick(self, params, vector):
        """See `Method.pick`."""
        out = params["base"]["out"]
        for slot in self.channels:
            if strength := vector[slot] if slot else 0:
                own = params[f"task_{slot}"]["out"]
                out = jax.tree.map(lambda x, y, s=strength: x + s * y, out, own)
        return {**params["base"], "out": out}

    def route(self, vector):
        """Each strength makes an output layer of its own."""
        return vector.tobytes()

    def apply(self, params, x, c):
        """See `Method.apply`; c must be known when compiling, as rows are sorted by vector."""
        return each_apart(self, params, x, c)

    def per_task(self, shapes, slot):
        """Its row of the generators and its part of the output layer."""
        own = sum(x.size for name, x in shapes.items() if name.startswith(f"task_{slot}/"))
        return super().per_task(shapes, slot) + own
