"""1-bit masks on the network's weights (Piggyback); see `methods.masks`."""

from taskfusion_jax.engine import names
from taskfusion_jax.methods import masks
from taskfusion_jax.methods.parts.base import Part


class Mask(Part):
    """Real values below the names of the weights they mask, which `config.parts.mask.masked`
    names by regular expression; start and threshold are those of `config.piggyback`."""

    def __init__(self, name, config, vit):
        """As `Part`, with `config.piggyback`."""
        super().__init__(name, config, vit)
        masks.check_options(config.piggyback)

    def init(self, rng, base):
        """See `Part.init`."""
        chosen, _ = names.split(base, self.options.masked, "config.parts.mask.masked")
        return masks.init_masks(chosen, ".*", self.config.piggyback.start)

    def weights(self, base, own):
        """See `Part.weights`."""
        o = self.config.piggyback
        return masks.masked(base, own, o.threshold, o.ternary, o.gradient)
