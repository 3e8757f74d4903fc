"""One encoder for all tasks, the rest for each (paper 004, SharedEnc; paper 003, decoder)."""

from taskfusion_jax.methods.single import Single


class SharedEnc(Single):
    """Parameters: `shared/...`, the encoder, and `task_SLOT/...`, the rest of the backbone."""

    def init(self, rng):
        """Fresh parameters."""
        nets, encoder = super().init(rng), self.backbone.encoder
        first = nets[min(nets)]
        shared = {k: v for k, v in first.items() if k.startswith(encoder)}
        own = {
            task: {k: v for k, v in net.items() if not k.startswith(encoder)}
            for task, net in nets.items()
        }
        return {"shared": shared, **own}

    def network(self, params, slot):
        """See `Routed.network`."""
        return params["shared"] | params[f"task_{slot}"]
