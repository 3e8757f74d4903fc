"""Export as StableHLO: one file per network that JAX alone can load and run."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from taskfusion_jax.engine.files import write_bytes
from taskfusion_jax.errors import UserError
from taskfusion_jax.exporting.format import Format, write_check, write_example
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.inference.model import Model

PLATFORMS = ("cpu", "cuda", "tpu")
_MADE = """stored = bytearray(path.with_suffix(".stablehlo").read_bytes())
    made = np.asarray(export.deserialize(stored).call(*inputs))"""


def write_stablehlo(model: Model, networks: Sequence[Network], output: Path, side: int) -> None:
    """Writes NAME.stablehlo of each network, weights within, for any number of images of one size,
    by default that of training; see `Format.write`.

    Raises:
      UserError: the package flatbuffers is missing, or a network does not take this size.
    """
    try:
        import flatbuffers  # noqa: F401  which jax.export needs to write
    except ImportError:
        raise UserError("--format=stablehlo needs flatbuffers: pip install flatbuffers") from None
    for network in networks:
        x, _ = network.example(side=side or model.config.data.size)
        (batch,) = jax.export.symbolic_shape("batch")
        inputs = [jax.ShapeDtypeStruct((batch, *x.shape[1:]), jnp.float32)]
        if network.slots:
            inputs.append(jax.ShapeDtypeStruct((batch, network.slots), jnp.float32))

        def run(x, c=None, network=network):
            return network(x, jnp.zeros((x.shape[0], 0)) if c is None else c)

        made = jax.export.export(jax.jit(run), platforms=PLATFORMS)(*inputs)
        write_bytes(output / f"{network.name}.stablehlo", made.serialize())
        write_example(network, output, x.shape[1])
    write_check(output, "jax, numpy, flatbuffers", "from jax import export", _MADE)


STABLEHLO = Format(
    write_stablehlo,
    "from pathlib import Path\nfrom jax import export\n\n"
    'net = export.deserialize(bytearray(Path("{name}.stablehlo").read_bytes()))\n'
    "y = net.call(x{c})  # x: [B, {side}, {side}, 3]",
    "Any number of images of that size; cpu, cuda and tpu; needs jax and flatbuffers.",
    one_size=True,
)
