"""One network for all tasks but for its output layer (paper 003, fine-tune)."""

from typing import ClassVar

from taskfusion_jax.methods.backbone import only, without
from taskfusion_jax.methods.base import Routed
from taskfusion_jax.methods.single import Single
from taskfusion_jax.models.conditioning import AffineNorm


class SharedTrunk(Routed):
    """Parameters: `shared/...`, and `task_SLOT/head/...` where the backbone lets tasks have one."""

    parts: ClassVar = {"norm": AffineNorm}

    def init(self, rng):
        """Fresh parameters."""
        nets, head = Single.init(self, rng), self.backbone.head
        own = {task: only(net, head) for task, net in nets.items()} if head else {}
        return {"shared": without(nets[min(nets)], head), **own}

    def network(self, params, slot):
        """See `Routed.network`."""
        return params["shared"] | params.get(f"task_{slot}", {})
