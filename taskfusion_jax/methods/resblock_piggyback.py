"""The residual blocks of one task, or of several, and masks on them for others (paper 003)."""

from taskfusion_jax.methods.backbone import without
from taskfusion_jax.methods.piggyback import Piggyback
from taskfusion_jax.methods.resblock import BLOCKS


class ResBlockPiggyback(Piggyback):
    """Parameters: as `piggyback`, with the blocks in `base/blocks`; slot 0 runs without them."""

    backbones = ("resnet",)

    def __init__(self, config, channels):
        """See `Piggyback`."""
        super().__init__(config, channels)
        self.base = [*self.base, 0]

    def network(self, params, slot):
        """See `Routed.network`."""
        net = super().network(params, slot)
        return net if slot else without(net, BLOCKS)
