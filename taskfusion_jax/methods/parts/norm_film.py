"""FiLM on layer norms: a scale and a shift per feature (Perez et al. 2018), as BitFit's kin."""

import re

import jax.numpy as jnp

from taskfusion_jax.engine import names
from taskfusion_jax.methods.parts.base import Part

_NORMS = re.compile(r"(.*/)?norm(_\d)?/(scale|bias)")


class NormFilm(Part):
    """`.../{scale, bias}` of every layer norm: y -> (1 + scale) y + bias behind the norm's own."""

    def init(self, rng, base):
        """See `Part.init`."""
        chosen = {k: jnp.zeros_like(x) for k, x in names.flatten(base).items() if _NORMS.match(k)}
        return names.unflatten(chosen)

    def weights(self, base, own):
        """See `Part.weights`: folded into the norms' own scales and biases."""
        flat, film = names.flatten(base), names.flatten(own)
        for name in [name for name in film if name.endswith("/scale")]:
            shift = f"{name.removesuffix('scale')}bias"
            gain = 1 + film[name]
            flat[name], flat[shift] = flat[name] * gain, flat[shift] * gain + film[shift]
        return names.unflatten(flat)
