"""From `config.method` to a method."""

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.base import DTYPES, Method
from taskfusion_jax.methods.encin import EncIN
from taskfusion_jax.methods.film import Film
from taskfusion_jax.methods.film_chain import FilmChain
from taskfusion_jax.methods.film_out import FilmOut
from taskfusion_jax.methods.piggyback import Piggyback
from taskfusion_jax.methods.sgn import SGN
from taskfusion_jax.methods.sgn_bias import SGNBias
from taskfusion_jax.methods.shared_enc import SharedEnc
from taskfusion_jax.methods.single import Single

METHODS = {
    "film": Film,
    "film_chain": FilmChain,
    "film_out": FilmOut,
    "encin": EncIN,
    "sgn": SGN,
    "sgn_bias": SGNBias,
    "single": Single,
    "shared_enc": SharedEnc,
    "piggyback": Piggyback,
}


def build_method(config: ConfigDict) -> Method:
    """Builds `config.method` on `config.network` in `config.dtype`.

    Raises:
      UserError: an unknown method or dtype.
    """
    for field, known in (("method", METHODS), ("dtype", DTYPES)):
        if config[field] not in known:
            hint = did_you_mean(config[field], known)
            raise UserError(f"config.{field}: no '{config[field]}'{hint}")
    return METHODS[config.method](config)
