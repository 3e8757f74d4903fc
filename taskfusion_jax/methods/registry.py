"""From `config.method` to a method."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.film import Film

METHODS = {"film": Film}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_method(config: ConfigDict) -> Film:
    """Builds `config.method` on `config.network` in `config.dtype`.

    Raises:
      UserError: an unknown method or dtype.
    """
    if config.method not in METHODS:
        raise UserError(
            f"config.method: no '{config.method}'{did_you_mean(config.method, METHODS)}"
        )
    if config.dtype not in DTYPES:
        raise UserError(f"config.dtype: no '{config.dtype}'{did_you_mean(config.dtype, DTYPES)}")
    return METHODS[config.method](config.network, config.slots, DTYPES[config.dtype])
