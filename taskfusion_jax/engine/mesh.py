"""The device mesh, and how batches and whole arrays lie on it."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from taskfusion_jax.errors import UserError

AXES = ("data", "fsdp", "model")
BATCH = ("data", "fsdp")
"""Axes that divide the rows of a batch; `fsdp` divides the parameters too."""


def make_mesh(sizes: Mapping[str, int], devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh with the axes data, fsdp and model.

    Args:
      sizes: `config.mesh`: devices along each axis; one of them may be -1, which is the rest.
      devices: default: all devices of all processes.

    Raises:
      UserError: these sizes do not use up the devices.
    """
    devices = jax.devices() if devices is None else devices
    shape = [sizes[axis] for axis in AXES]
    given = int(np.prod([size for size in shape if size != -1]))
    shown = ", ".join(f"{axis}={sizes[axis]}" for axis in AXES)
    if shape.count(-1) > 1 or any(size < 1 and size != -1 for size in shape):
        raise UserError(f"config.mesh ({shown}): sizes are 1 or more, and -1 (the rest) only once")
    if -1 in shape and len(devices) % given == 0:
        shape[shape.index(-1)] = len(devices) // given
    if int(np.prod(shape)) != len(devices):
        raise UserError(
            f"config.mesh ({shown}) does not divide {len(devices)} devices: the sizes' product "
            "must be their number, or divide it where one size is -1, which takes the rest"
        )
    mesh = jax.make_mesh(tuple(shape), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices)
    for row in mesh.devices.reshape(-1, shape[-1]):  # they share rows, which one process loads
        if len({device.process_index for device in row}) > 1:
            raise UserError(f"config.mesh.model={shape[-1]} reaches over several processes")
    return mesh


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_rows(mesh: Mesh) -> NamedSharding:
    """The first axis divided among the devices."""
    return NamedSharding(mesh, PartitionSpec(BATCH))


def shards(mesh: Mesh) -> int:
    """How many parts a batch is divided into."""
    return int(np.prod([mesh.shape[axis] for axis in BATCH]))


def groups_for(mesh: Mesh, groups: int, accumulate: int) -> int:
    """Groups of rows in a global batch; 0 means one per device and accumulated part.

    Raises:
      UserError: `groups` cannot be divided so.
    """
    parts = shards(mesh) * accumulate
    if groups % parts:
        times = f" x config.accumulate={accumulate}" if accumulate > 1 else ""
        raise UserError(
            f"config.groups={groups} cannot be divided among {shards(mesh)} devices{times}; "
            f"use a multiple of {parts}, or --config.groups=0 for one each"
        )
    return groups or parts


def to_devices(mesh: Mesh, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """Global arrays from this process's part of a batch, first axis divided among devices."""
    sharding = split_rows(mesh)
    with jax.transfer_guard_host_to_device("allow"):  # the one place where batches cross
        return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def place(sharding: NamedSharding, tree: Any) -> Any:
    """Puts host arrays, the same in every process, on the devices; each takes its part."""
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(np.shape(x), sharding, np.asarray(x).__getitem__),
        tree,
    )
