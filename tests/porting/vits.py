"""Small ViTs of others with random arrays, and files of them."""

import functools

import jax
import numpy as np
import torch
from safetensors.numpy import save_file

from taskfusion_jax.models.vit import ViT
from tests.porting.flax_vit import FlaxViT, random_arrays
from tests.porting.torch_vit import HuggingFaceClassifier, TimmViT, random

SIZES = {"width": 24, "depth": 2, "heads": 3, "patch": 4}
NET = ViT(**SIZES, classes=5)
BARE = NET.clone(classes=0)
SIZE = 12


@functools.cache
def timm():
    return random(TimmViT(**SIZES, size=SIZE, classes=5), 0)


@functools.cache
def hugging_face():
    return random(HuggingFaceClassifier(**SIZES, size=SIZE, classes=5), 0)


@functools.cache
def flax():
    """The network, and its arrays by name."""
    net = FlaxViT(**SIZES, classes=5)
    image = np.zeros((1, SIZE, SIZE, 3), np.float32)
    return net, random_arrays(jax.eval_shape(net.init, jax.random.key(0), image)["params"], 0)


def arrays_of(network):
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def save(arrays, path):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".pth":
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    else:
        save_file(arrays, path)
    return path
