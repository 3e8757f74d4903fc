"""Export as StableHLO: one file per network that JAX alone can load and run."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.files import write_bytes, write_text
from taskfusion_jax.errors import UserError
from taskfusion_jax.exporting.network import Network

PLATFORMS = ("cpu", "cuda", "tpu")
CHECK = '''"""Compares the networks in this folder with what ran here. Needs jax, flatbuffers."""

import sys
from pathlib import Path

import numpy as np
from jax import export

folder, worst = Path(__file__).parent, 0.0
for path in sorted(folder.glob("*.npz")):
    given = np.load(path)
    run = export.deserialize(bytearray(path.with_suffix(".stablehlo").read_bytes())).call
    made = np.asarray(run(*(given[name] for name in ("x", "c") if name in given)))
    difference = np.abs(made - given["y"]).max() / max(1.0, np.abs(given["y"]).max())
    print(f"{path.stem}: largest difference {difference:.1e}")
    worst = max(worst, difference)
sys.exit(int(worst > 1e-5))
'''


def write_stablehlo(networks: Sequence[Network], output: Path, size: int) -> None:
    """Writes NAME.stablehlo of each network, weights within, for any number of images of one size.

    Args:
      networks: to export.
      output: a folder that is there.
      size: side of the images; 0 = as in training.

    Raises:
      UserError: the package flatbuffers is missing, or a network does not take this size.
    """
    try:
        import flatbuffers  # noqa: F401  which jax.export needs to write
    except ImportError:
        raise UserError("--format=stablehlo needs flatbuffers: pip install flatbuffers") from None
    for network in networks:
        x, c = network.example(side=size)
        (batch,) = jax.export.symbolic_shape("batch")
        inputs = [jax.ShapeDtypeStruct((batch, *x.shape[1:]), jnp.float32)]
        if network.slots:
            inputs.append(jax.ShapeDtypeStruct((batch, network.slots), jnp.float32))

        def run(x, c=None, network=network):
            return network(x, jnp.zeros((x.shape[0], 0)) if c is None else c)

        made = jax.export.export(jax.jit(run), platforms=PLATFORMS)(*inputs)
        write_bytes(output / f"{network.name}.stablehlo", made.serialize())
        given = {"x": x, **({"c": c} if network.slots else {})}
        with (output / f"{network.name}.npz").open("wb") as file:
            np.savez(file, y=np.asarray(jit(run)(*given.values())), **given)
    write_text(output / "check.py", CHECK)
