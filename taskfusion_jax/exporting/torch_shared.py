"""Export as PyTorch modules that share a file: masks stay masks, at a bit per weight."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from taskfusion_jax.engine import names
from taskfusion_jax.engine.files import write_bytes
from taskfusion_jax.errors import UserError
from taskfusion_jax.exporting.card import tasks_json
from taskfusion_jax.exporting.format import Format
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.exporting.torch_files import USE, write_code, write_weights
from taskfusion_jax.inference.model import Model
from taskfusion_jax.methods.base import SHARED
from taskfusion_jax.porting.files import Arrays
from taskfusion_jax.porting.torch_state import to_state_dict

SHARED_FILE = "shared.safetensors"
BITS = ".bits"
_LOAD = '''

def load(path: str) -> Net:
    """The network of a task's file on what lies in shared.safetensors beside it, ready to be used;
    needs safetensors. Weights of NAME.bits are the shared ones where a bit is 1, negated where a
    second row has 1 too, else zero."""
    import json
    from pathlib import Path

    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    state = load_file(Path(path).with_name("shared.safetensors"))
    with safe_open(path, framework="pt") as file:
        net = Net(**json.loads(file.metadata()["net"]))
        for name in file.keys():
            own, shared = file.get_tensor(name), state.get(name.removesuffix(".bits"))
            if name.endswith(".bits"):
                planes = (own[..., None] >> torch.arange(7, -1, -1, dtype=torch.uint8)) & 1
                planes = planes.flatten(1)[:, : shared.numel()].to(shared.dtype)
                mask = planes[0] * (1 - 2 * planes[1]) if len(planes) > 1 else planes[0]
                own = shared * mask.reshape(shared.shape)
            state[name.removesuffix(".bits")] = own
    net.load_state_dict(state)
    return net.eval()
'''
"""Ends model.py."""


def write_torch_shared(model: Model, networks: Sequence[Network], output: Path, side: int) -> None:
    """Writes shared.safetensors, NAME.safetensors of each network and model.py; see
    `Format.write`.

    Raises:
      UserError: the run's networks have nothing in common.
    """
    backbone, known = networks[0].backbone, networks[0].params
    shared = {
        name.partition("/")[2]: np.asarray(x)
        for name, x in names.flatten(model.params).items()
        if name.startswith(SHARED) and name.partition("/")[2] in known
    }
    if not shared:
        raise UserError(
            f"--format=torch_shared: config.method={model.config.method} has no parameters that "
            "its networks share: use torch"
        )
    base, tasks = to_state_dict(shared, backbone), tasks_json(model, networks)
    write_bytes(output / SHARED_FILE, save(base))
    for network in networks:
        own = _own(to_state_dict(network.params, backbone), base)
        write_weights(network, output, own, tasks)
    write_code(networks, output, side, _LOAD)


def _own(state: Mapping[str, np.ndarray], base: Mapping[str, np.ndarray]) -> Arrays:
    """What a network has that is not the base's: as bits where it is the base's, zero, or minus
    the base's."""
    own = {}
    for name, x in state.items():
        if name not in base or base[name].shape != x.shape:
            own[name] = x
        elif not np.array_equal(x, base[name]):
            same, turned = x == base[name], (x == -base[name]) & (x != 0)
            if np.all(same | turned | (x == 0)):
                planes = [x != 0, turned] if turned.any() else [x != 0]
                own[name + BITS] = np.stack([np.packbits(plane) for plane in planes])
            else:
                own[name] = x
    return own


TORCH_SHARED = Format(
    write_torch_shared,
    USE,
    "`model.py` needs PyTorch and safetensors, and nothing of taskfusion_jax; a task's file needs "
    f"`{SHARED_FILE}` beside it.",
)
