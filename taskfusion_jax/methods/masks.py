"""Binary masks on the weights of any network: pure functions on its parameters.

Mallya, Davis & Lazebnik 2018, "Piggyback". A mask is kept as real values; a weight counts where
its value is above a threshold. The backward pass takes that step for the identity, so a value's
gradient is the effective weight's, times the weight.
"""

import functools
import re

import jax
import jax.numpy as jnp

from taskfusion_jax.engine import names


def init_masks(flat: dict[str, jax.Array], pattern: str, value: float) -> dict:
    """Real-valued masks, all at `value`, of those of the flat dict whose whole name matches."""
    chosen = {k: jnp.full_like(x, value) for k, x in flat.items() if re.fullmatch(pattern, k)}
    return names.unflatten(chosen)


def masked(params: dict, masks: dict, threshold: float) -> dict:
    """The parameters with each masked weight kept or set to zero; no mask, no change."""
    flat, values = names.flatten(params), names.flatten(masks)
    kept = {name: flat[name] * binarise(value, threshold) for name, value in values.items()}
    return names.unflatten({**flat, **kept})


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def binarise(values: jax.Array, threshold: float) -> jax.Array:
    """Exactly 1 where a value is above the threshold, else 0; its gradient is the identity's."""
    return (values > threshold).astype(values.dtype)


binarise.defvjp(lambda values, threshold: (binarise(values, threshold), ()), lambda _, __, g: (g,))
