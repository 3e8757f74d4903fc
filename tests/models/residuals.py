"""What a backward pass keeps, on any backend."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jax.ad_checkpoint import print_saved_residuals

from taskfusion_jax.engine.compile import jit


def kept_shapes(capsys, loss: Callable, *args: Any) -> list[tuple[int, ...]]:
    """Shapes of all that the gradient of `loss` keeps beside its arguments."""
    print_saved_residuals(loss, *args)
    lines = capsys.readouterr().out.splitlines()
    found = [
        re.match(r"\w+\[([\d,]*)\]", line) for line in lines if "from the argument" not in line
    ]
    return [tuple(int(side) for side in shape[1].split(",") if side) for shape in found]


def kept_values(capsys, loss: Callable, *args: Any) -> int:
    """How many numbers that is."""
    return sum(math.prod(shape) for shape in kept_shapes(capsys, loss, *args))


def assert_remat_saves(capsys, net, params, *inputs) -> None:
    """With `remat` a network keeps less for the backward pass and has the same gradients."""
    losses = [
        lambda params, net=net: (net.apply({"params": params}, *inputs) ** 2).mean()
        for net in (net.clone(remat=True), net)
    ]
    less, more = (kept_values(capsys, loss, params) for loss in losses)
    assert less < 0.4 * more
    ours, theirs = (flatten_dict(jit(jax.grad(loss))(params)) for loss in losses)
    scale = max(np.abs(gradient).max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        np.testing.assert_allclose(ours[name], gradient, atol=1e-5 * scale, err_msg=name)
