"""Binary and ternary masks on the weights of any network: pure functions on its parameters.

Mallya, Davis & Lazebnik 2018, "Piggyback". A mask is kept as real values; a weight counts where
its value is above a threshold. The backward pass takes that step for the identity, so a value's
gradient is the effective weight's, times the weight.
"""

import functools
import math
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError, did_you_mean

Divisor = Callable[[jax.Array], jax.Array]


def _average(weights: jax.Array) -> jax.Array:
    """The mean size of a layer's weights, above zero."""
    return _above_zero(jnp.mean(jnp.abs(weights)))


def _individual(weights: jax.Array) -> jax.Array:
    """The size of each weight, above zero."""
    return _above_zero(jnp.abs(weights))


def _above_zero(sizes: jax.Array) -> jax.Array:
    # The gradient of a zero weight's value is zero, and stays so when divided by this.
    return jnp.maximum(sizes, jnp.finfo(sizes.dtype).tiny)


DIVISORS: dict[str, Divisor | None] = {
    "none": None,
    "average": _average,
    "individual": _individual,
}
"""What the gradients of a layer's mask are divided by, as by `--mask_scale_gradients` in
Piggyback's public code: small weights then move their masks as much as large ones."""


def check_options(options: ConfigDict) -> None:
    """Raises UserError where `config.piggyback` has values that make no masks."""
    threshold, start = options.threshold, options.start
    if not 0 <= threshold < min(start, 1):
        raise UserError(
            f"config.piggyback.threshold={threshold} must be at least 0, less than 1, and less "
            f"than start={start}, so that all weights count at first"
        )
    if options.gradient not in DIVISORS:
        hint = did_you_mean(options.gradient, DIVISORS)
        raise UserError(f"config.piggyback.gradient: no '{options.gradient}'{hint}")


def init_masks(flat: dict[str, jax.Array], pattern: str, value: float) -> dict:
    """Real-valued masks, all at `value`, of those of the flat dict whose whole name matches."""
    chosen = {k: jnp.full_like(x, value) for k, x in flat.items() if re.fullmatch(pattern, k)}
    return names.unflatten(chosen)


def masked(
    params: dict, masks: dict, threshold: float, ternary: bool = False, gradient: str = "none"
) -> dict:
    """The parameters with each masked weight kept or set to zero; no mask, no change.

    Args:
      params: the network's.
      masks: real values, below the names of the weights they mask; or their bits, see `unpack`.
      threshold: a weight counts where its value is above it.
      ternary: negate the weights whose value is below -threshold.
      gradient: a key of `DIVISORS`: what the masks' gradients are divided by.

    Raises:
      UserError: an unknown `gradient`.
    """
    if gradient not in DIVISORS:
        hint = did_you_mean(gradient, DIVISORS)
        raise UserError(f"config.piggyback.gradient: no '{gradient}'{hint}")
    step, divisor = ternarise if ternary else binarise, DIVISORS[gradient]
    flat = names.flatten(params)
    for name, values in names.flatten(masks).items():
        packed = values.dtype == jnp.uint8
        mask = unpack(values, flat[name].shape) if packed else step(values, threshold)
        mask = mask if divisor is None else _divide_gradient(divisor, mask, flat[name])
        flat[name] = flat[name] * mask
    return names.unflatten(flat)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def binarise(values: jax.Array, threshold: float) -> jax.Array:
    """Exactly 1 where a value is above the threshold, else 0; its gradient is the identity's."""
    return (values > threshold).astype(values.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def ternarise(values: jax.Array, threshold: float) -> jax.Array:
    """1 above the threshold, -1 below -threshold, else 0; its gradient is the identity's.

    Piggyback's public code puts -1 wherever a value is below 0; with the same distance on both
    sides, no value flips a weight without passing zero.
    """
    return (values > threshold).astype(values.dtype) - (values < -threshold).astype(values.dtype)


def unpack(packed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """A mask of 1, 0 and -1, float32, from its bits.

    packed: uint8 [1 or 2, ceil(N / 8)], first bits highest; the second row negates.
    shape: the mask's, N weights in all.
    """
    places = jnp.arange(7, -1, -1, dtype=jnp.uint8).reshape(1, 1, 8)
    bits = (packed[..., None] >> places) & 1
    planes = bits.reshape(len(packed), -1)[:, : math.prod(shape)].astype(jnp.float32)
    mask = planes[0] * (1 - 2 * planes[1]) if len(planes) > 1 else planes[0]
    return mask.reshape(shape)


def _pass_on(threshold: float, kept: tuple, g: jax.Array) -> tuple[jax.Array]:
    return (g,)


binarise.defvjp(lambda values, threshold: (binarise(values, threshold), ()), _pass_on)
ternarise.defvjp(lambda values, threshold: (ternarise(values, threshold), ()), _pass_on)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _divide_gradient(divisor: Divisor, mask: jax.Array, weights: jax.Array) -> jax.Array:
    """The mask as it is; its gradient is divided by `divisor(weights)`."""
    return mask


_divide_gradient.defvjp(
    lambda _, mask, weights: (mask, weights),
    lambda divisor, weights, g: (g / divisor(weights), None),
)
