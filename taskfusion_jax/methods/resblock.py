"""A frozen autoencoder, and residual blocks in its middle for each task (paper 003)."""

import jax
import numpy as np

from taskfusion_jax.methods.backbone import only, without
from taskfusion_jax.methods.base import Routed

BLOCKS = "blocks"


class ResBlock(Routed):
    """Parameters: `base/{encoder,decoder}/...` and, but for slot 0, `task_SLOT/blocks/...`.

    Slot 0, which asks for nothing, is the autoencoder alone. A vector of several tasks runs their
    blocks one after another, by slot.
    """

    combines = True
    backbones = ("resnet",)

    def init(self, rng):
        """Fresh parameters."""
        keys, slots = jax.random.split(rng, self.slots), [s for s in sorted(self.channels) if s]
        every = jax.vmap(lambda key: only(self.init_net(key), BLOCKS))(keys[np.array(slots)])
        tasks = {
            f"task_{slot}": jax.tree.map(lambda x, i=i: x[i], every) for i, slot in enumerate(slots)
        }
        return {"base": without(self.init_net(keys[0]), BLOCKS), **tasks}

    def pick(self, params, vector):
        """See `Method.pick`."""
        chain = [
            params[f"task_{slot}"][BLOCKS][name]
            for slot in self._asked(vector, most=self.slots)
            for name in _in_order(params[f"task_{slot}"][BLOCKS])
        ]
        blocks = {f"block_{i}": block for i, block in enumerate(chain)}
        return {**params["base"], **({BLOCKS: blocks} if blocks else {})}


def _in_order(blocks: dict) -> list[str]:
    return sorted(blocks, key=lambda name: int(name.rpartition("_")[2]))
