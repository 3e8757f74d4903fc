"""Where the numbers of a benchmark come from: machine, versions, and how busy it was."""

import importlib.metadata
import os

import jax

from taskfusion_jax.engine.provenance import provenance

_BUSY = 0.25
"""Processes waiting per core, from which on timings mislead."""


def cores() -> int:
    """CPU cores that this process may use: as many threads as each side gets."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def busy() -> str:
    """A warning if others use this machine, else nothing."""
    load = os.getloadavg()[0]
    if load <= _BUSY * cores():
        return ""
    return f"the machine is busy (load {load:.1f} on {cores()} cores): these numbers mislead"


def tensorfloat32() -> bool:
    """Whether float32 products run as TensorFloat-32: JAX's default on GPUs."""
    precise = jax.config.jax_default_matmul_precision in ("float32", "highest")
    return jax.default_backend() == "gpu" and not precise


def origin() -> dict[str, str | float]:
    """Command, commit, hardware, versions and load, as flat keys."""
    where = provenance()
    where["command"] = where["command"].replace(".__main__", "")
    for package in ("jax", "jaxlib", "flax", "torch", "grain"):
        try:
            where[f"versions/{package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**where, "threads": cores(), "load_average": round(os.getloadavg()[0], 2)}
