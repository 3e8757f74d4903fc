"""Export as a PyTorch module: weights, a file of plain PyTorch, a card, a check."""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.files import write_bytes, write_text
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.porting.torch_state import to_state_dict

LOAD = '''

def load(path: str) -> Net:
    """The network of a file with its weights, ready to be used; needs safetensors."""
    import json

    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        net = Net(**json.loads(file.metadata()["net"]))
        net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})
    return net.eval()
'''
"""Ends every model.py."""
CHECK = '''"""Compares the networks in this folder with JAX. Needs torch and safetensors."""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

import model

folder, worst = Path(__file__).parent, 0.0
for path in sorted(folder.glob("*.check")):
    given = load_file(path)
    net = model.load(str(path.with_suffix(".safetensors")))
    with torch.no_grad():
        made = net(*(given[name] for name in ("x", "c") if name in given))
    difference = (made - given["y"]).abs().max().item() / max(1.0, given["y"].abs().max().item())
    print(f"{path.stem}: largest difference {difference:.1e}")
    worst = max(worst, difference)
sys.exit(int(worst > 1e-5))
'''


def write_torch(networks: Sequence[Network], output: Path, tasks: str) -> None:
    """Writes NAME.safetensors of each network, model.py, check.py and what that compares with.

    Args:
      networks: of one backbone.
      output: a folder that is there.
      tasks: JSON for the files' metadata.
    """
    for network in networks:
        metadata = {"net": json.dumps(network.options), "tasks": tasks}
        state = to_state_dict(network.params, network.backbone)
        write_bytes(output / f"{network.name}.safetensors", save(state, metadata))
        x, c = network.example()
        y = np.asarray(jit(network.run_flat)(dict(network.params), x, c))
        given = {"x": np.moveaxis(x, -1, 1), "y": np.moveaxis(y, -1, 1) if y.ndim == 4 else y}
        given |= {"c": c} if network.slots else {}
        contiguous = {name: np.ascontiguousarray(array) for name, array in given.items()}
        write_bytes(output / f"{network.name}.check", save(contiguous))
    nets = resources.files("taskfusion_jax.exporting.torch_nets")
    source = (nets / f"{networks[0].backbone}.py").read_text(encoding="utf-8")
    write_text(output / "model.py", source + LOAD)
    write_text(output / "check.py", CHECK)
