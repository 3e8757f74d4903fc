"""The device mesh and where arrays live on it."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from taskfusion_jax.errors import UserError


def make_mesh() -> Mesh:
    """All devices along one axis, `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_rows(mesh: Mesh) -> NamedSharding:
    """The first axis divided among the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def groups_for(mesh: Mesh, groups: int) -> int:
    """Groups of rows in a global batch; 0 means one per device.

    Raises:
      UserError: `groups` cannot be divided among the devices.
    """
    devices = mesh.shape["data"]
    if groups % devices:
        raise UserError(
            f"config.groups={groups} cannot be divided among {devices} devices; "
            f"use a multiple of {devices}, or --config.groups=0 for one per device"
        )
    return groups or devices


def to_devices(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Global arrays from this process's part of a batch, first axis divided among devices."""
    sharding = split_rows(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Copies a tree of arrays to every device."""
    return jax.device_put(tree, replicated(mesh))
