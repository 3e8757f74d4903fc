"""One encoder for all tasks, blocks and decoder for each (paper 004, baseline SharedEnc)."""

from taskfusion_jax.methods.single import Single

_ENCODER = "down_"


class SharedEnc(Single):
    """Parameters: `shared/down_...` and `task_SLOT/...`, the rest of the backbone."""

    def init(self, rng):
        """Fresh parameters."""
        nets = super().init(rng)
        shared = {k: v for k, v in nets["task_0"].items() if k.startswith(_ENCODER)}
        own = {
            task: {k: v for k, v in net.items() if not k.startswith(_ENCODER)}
            for task, net in nets.items()
        }
        return {"shared": shared, **own}

    def network(self, params, slot):
        """See `Routed.network`."""
        return params["shared"] | params[f"task_{slot}"]
