"""Gradients of a loss over a batch that is divided among devices and, perhaps, in time.

Communication is written out rather than left to the compiler: divided parameters are gathered
once, every device differentiates its own rows, and the gradients are summed once, each device
receiving the part it keeps. So a step moves these bytes and no others, on every backend.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine import names
from taskfusion_jax.engine.sharding import Specs

Loss = Callable[[dict, dict, Any, Any], tuple[jax.Array, dict[str, jax.Array]]]
"""(params, teacher's parameters, constants, batch) -> (loss, metrics), means over rows."""


def make_gradients(loss: Loss, mesh: Mesh, specs: Specs, accumulate: int) -> Callable:
    """(moving, frozen, teacher, constants, batch) -> (gradients of moving, metrics).

    Parameters are flat dicts by name, the teacher's without the prefix `net`. As every device has
    as many rows, means of means are means.

    Args:
      loss: of any number of groups of rows.
      mesh: the mesh.
      specs: how parameters are divided; gradients are divided alike.
      accumulate: parts that each device's rows are divided into, differentiated one after another.
    """
    ours = {name: _only_batch_axes(spec) for name, spec in specs.items()}
    count = meshes.shards(mesh) * accumulate
    axes = tuple(axis for axis in meshes.BATCH if mesh.shape[axis] > 1)

    def local(moving, frozen, teacher, constants, batch):
        whole = {name: _gather(x, ours[name]) for name, x in moving.items()}
        still = {name: _gather(x, ours[name]) for name, x in frozen.items()}
        guide = {name: _gather(x, ours[f"net/{name}"]) for name, x in teacher.items()}

        def of_part(rows):
            def scaled(moved):
                params = names.unflatten({**moved, **still})
                value, metrics = loss(params, names.unflatten(guide), constants, rows)
                return value / count, jax.tree.map(lambda x: x / count, metrics)

            return jax.grad(scaled, has_aux=True)(whole)

        grads, metrics = _sum_over_parts(of_part, batch, accumulate)
        if axes:
            metrics = jax.lax.psum(metrics, axes)
        return {name: _scatter(x, ours[name], axes) for name, x in grads.items()}, metrics

    def gradients(moving, frozen, teacher, constants, batch):
        whole, rows = PartitionSpec(), PartitionSpec(meshes.BATCH)
        placed = [
            {name: ours[prefix + name] for name in tree}
            for tree, prefix in ((moving, ""), (frozen, ""), (teacher, "net/"))
        ]
        return jax.shard_map(
            local,
            mesh=mesh,
            in_specs=(*placed, whole, rows),
            out_specs=(placed[0], whole),
            axis_names=set(meshes.BATCH),
            check_vma=False,
        )(moving, frozen, teacher, constants, batch)

    return gradients


def _sum_over_parts(of_part: Callable, batch: Any, parts: int) -> Any:
    """Sum of `of_part` over the batch's parts, one after another to save memory."""
    if parts == 1:
        return of_part(batch)
    divided = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
    shapes = jax.eval_shape(of_part, jax.tree.map(lambda x: x[0], divided))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total, rows):
        return jax.tree.map(jnp.add, total, of_part(rows)), None

    return jax.lax.scan(add, zeros, divided)[0]


def _only_batch_axes(spec: PartitionSpec) -> PartitionSpec:
    """What is written out here; `model` is left to the compiler."""
    return PartitionSpec(*(axis if axis in meshes.BATCH else None for axis in spec))


def _gather(x: jax.Array, spec: PartitionSpec) -> jax.Array:
    for dimension, axis in enumerate(spec):
        if axis:
            x = jax.lax.all_gather(x, axis, axis=dimension, tiled=True)
    return x


def _scatter(x: jax.Array, spec: PartitionSpec, axes: tuple[str, ...]) -> jax.Array:
    """Sums over the devices along `axes`; each keeps its part."""
    for dimension, axis in enumerate(spec):
        if axis:
            x = jax.lax.psum_scatter(x, axis, scatter_dimension=dimension, tiled=True)
    rest = tuple(axis for axis in axes if axis not in spec)
    return jax.lax.psum(x, rest) if rest else x
