"""Floating-point operations of a traced function: those of its convolutions and products.

A multiplication and an addition count as two. Products with padding and with the zeros that
dilation puts in do not count, as in XLA's own cost analysis. Element-wise work is left out, and
of conditional branches the most expensive counts.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def count(fun: Callable, *args: Any) -> int:
    """FLOPs of `fun(*args)`; args may be `jax.ShapeDtypeStruct`s, as nothing is run."""
    return _of_jaxpr(jax.make_jaxpr(fun)(*args).jaxpr)


def _of_jaxpr(jaxpr: Any) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return _dot(equation)
    if name == "conv_general_dilated":
        return _convolution(equation)
    if name == "cond":
        return max(_of_jaxpr(branch.jaxpr) for branch in params["branches"])
    inner = sum(_of_jaxpr(jaxpr) for jaxpr in _inner(params))
    if name == "while" and inner:
        raise ValueError("a loop without a known number of rounds has products in it")
    rounds = params["length"] if name == "scan" else 1
    if name == "shard_map":  # its body sees one device's part
        axes = next(axes for key, axes in params.items() if key.endswith("manual_axes"))
        rounds = math.prod(params["mesh"].shape[axis] for axis in axes)
    return rounds * inner


def _inner(params: dict) -> list[Any]:
    """The jaxprs within: of pjit, scan, remat, shard_map; of custom rules the function itself."""
    closed = [getattr(value, "jaxpr", value) for value in params.values()]
    return [value for value in closed if hasattr(value, "eqns")]


def _dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    depth = math.prod(left[axis] for axis in contracted)
    return 2 * depth * equation.outvars[0].aval.size


def _convolution(equation: Any) -> int:
    params = equation.params
    numbers = params["dimension_numbers"]
    images, kernel = (variable.aval.shape for variable in equation.invars)
    out = equation.outvars[0].aval.shape
    spatial = zip(numbers.lhs_spec[2:], numbers.rhs_spec[2:], numbers.out_spec[2:], strict=True)
    taps = 1
    for axis, (i, k, o) in enumerate(spatial):
        taps *= _taps(images[i], kernel[k], out[o], axis, params)
    # The kernel's input channels are those of one group already; with groups of images, as in a
    # weight gradient, each output channel belongs to one of them.
    images_per_output = out[numbers.out_spec[0]]
    channels = out[numbers.out_spec[1]] * kernel[numbers.rhs_spec[1]]
    return 2 * images_per_output * channels * taps


def _taps(size: int, kernel: int, out: int, axis: int, params: dict) -> int:
    """Pairs of output and kernel positions along one axis that meet a pixel of the input."""
    spread = params["lhs_dilation"][axis]
    position = (
        np.arange(out)[:, None] * params["window_strides"][axis]
        + np.arange(kernel) * params["rhs_dilation"][axis]
        - params["padding"][axis][0]
    )
    inside = (position >= 0) & (position <= (size - 1) * spread)
    return int(np.sum(inside & (position % spread == 0)))
