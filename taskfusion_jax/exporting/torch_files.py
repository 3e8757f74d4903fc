"""Export as a PyTorch module: weights, a file of plain PyTorch, a check."""

import importlib
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from safetensors.numpy import save

from taskfusion_jax.engine.files import write_bytes, write_text
from taskfusion_jax.exporting.card import tasks_json
from taskfusion_jax.exporting.format import Format, write_check, write_example
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.inference.model import Model
from taskfusion_jax.porting.files import Arrays
from taskfusion_jax.porting.torch_state import to_state_dict

_LOAD = '''

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
_NETS = "taskfusion_jax.exporting.torch_nets"
_MADE = """net = model.load(str(path.with_suffix(".safetensors")))
    with torch.no_grad():
        made = net(*map(torch.from_numpy, inputs)).numpy()"""


def write_torch(model: Model, networks: Sequence[Network], output: Path, side: int) -> None:
    """Writes NAME.safetensors of each network and model.py; see `Format.write`.

    The sides of images are free wherever the network lets them be; `side` is of the examples.
    """
    tasks = tasks_json(model, networks)
    for network in networks:
        write_weights(network, output, to_state_dict(network.params, network.backbone), tasks)
    write_code(networks, output, side, _LOAD)


def write_weights(network: Network, output: Path, state: Arrays, tasks: str) -> None:
    """Writes NAME.safetensors with what the module is built with in its metadata."""
    metadata = {"net": json.dumps(network.options), "tasks": tasks}
    write_bytes(output / f"{network.name}.safetensors", save(state, metadata))


def write_code(networks: Sequence[Network], output: Path, side: int, load: str) -> None:
    """Writes model.py, which `load` ends, the examples and check.py."""
    for network in networks:
        write_example(network, output, side, channels_first=True)
    write_text(output / "model.py", module_source(networks[0].backbone) + load)
    write_check(output, "torch, numpy, safetensors", "import torch\n\nimport model", _MADE)


def module_source(backbone: str) -> str:
    """The file of `torch_nets` for a backbone, with what it imports from another one in place of
    the import, so that it stands alone."""
    folder = resources.files(_NETS)
    source = (folder / f"{backbone}.py").read_text(encoding="utf-8")
    wanted = re.compile(rf"^from {re.escape(_NETS)}\.(\w+) import .*\n", re.MULTILINE)
    for line in wanted.finditer(source):
        shared = (folder / f"{line[1]}.py").read_text(encoding="utf-8")
        body = shared[shared.index("\n\n\n") :].strip()  # behind its own imports
        source = source.replace(line[0], f"\n{body}\n")
    return source


def torch_module(network: Network):
    """The PyTorch module of a network with its weights, in eval mode. Needs PyTorch."""
    import torch

    nets = importlib.import_module(f"{_NETS}.{network.backbone}")
    net, state = nets.Net(**network.options), to_state_dict(network.params, network.backbone)
    net.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in state.items()})
    return net.eval()


USE = 'import model\n\nnet = model.load("{name}.safetensors")\ny = net(x{c})  # x: [B, 3, H, W]'
TORCH = Format(
    write_torch, USE, "`model.py` needs PyTorch and safetensors, and nothing of taskfusion_jax."
)
