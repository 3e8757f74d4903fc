"""What a format of export is, and what all of them have: examples, and a check that needs no JAX
of ours."""

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.files import write_bytes, write_text
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.inference.model import Model

_CHECK = '''"""Compares the networks in this folder with what JAX computed. Needs {needs}."""

import sys
from pathlib import Path

import numpy as np
{imports}

found = []
for path in sorted(Path(__file__).parent.glob("*.npz")):
    given = np.load(path)
    inputs = [given[name] for name in ("x", "c") if name in given]
    {made}
    assert made.shape == given["y"].shape, (made.shape, given["y"].shape)
    difference = np.abs(made - given["y"]).max() / max(1.0, np.abs(given["y"]).max())
    print(f"{{path.stem}}: largest difference {{difference:.1e}}")
    found.append(bool(difference <= 1e-5))  # NaN is not
sys.exit(int(not found or not all(found)))
'''


@dataclasses.dataclass(frozen=True)
class Format:
    """One way to write networks.

    Attributes:
      write: (model, its networks, a folder that is there, side of the images or 0) -> nothing;
        writes them with examples and a check.
      use: code that runs the first network, with {name}, {c} (", c" or nothing) and {side}.
      note: what the files need, for the card.
      one_size: whether they take images of one size only, that of training unless one is given.
    """

    write: Callable[[Model, Sequence[Network], Path, int], None]
    use: str
    note: str
    one_size: bool = False


def write_check(output: Path, needs: str, imports: str, made: str) -> None:
    """Writes `check.py`, whose exit status says whether each NAME.npz beside it comes out again.

    Args:
      output: a folder that is there.
      needs: packages, for people.
      imports: lines that import them.
      made: lines that make `made` of the arrays `inputs` by the network in `path` with another
        suffix; indented by 4.
    """
    write_text(output / "check.py", _CHECK.format(needs=needs, imports=imports, made=made))


def write_example(network: Network, output: Path, side: int = 0, channels_first: bool = False):
    """Writes `NAME.npz`: images and vectors, `x` and `c`, and what JAX makes of them, `y`."""
    x, c = network.example(side=side)
    with jax.default_matmul_precision("highest"):  # accelerators round to fewer bits
        y = np.asarray(jit(network.run_flat)(dict(network.params), x, c))
    if channels_first:
        x, y = np.moveaxis(x, -1, 1), np.moveaxis(y, -1, 1) if y.ndim == 4 else y
    file = io.BytesIO()
    np.savez(file, x=x, y=y, **({"c": c} if network.slots else {}))
    write_bytes(output / f"{network.name}.npz", file.getvalue())
