"""Where the numbers of a benchmark come from: machine, versions, and how busy it was."""

import importlib.metadata
import os
import time
from pathlib import Path

import jax

from taskfusion_jax.engine.provenance import provenance

_BUSY = 0.1
"""Share of the cores in use by others, from which on timings mislead."""
_STAT = Path("/proc/stat")


def cores() -> int:
    """CPU cores that this process may use: as many threads as each side gets."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def busy() -> str:
    """A warning if others use this machine while this process sleeps, else nothing (Linux only)."""
    used = _others()
    if used <= _BUSY:
        return ""
    return f"others use {used:.0%} of the machine's cores: these numbers mislead"


def _others(seconds: float = 0.5) -> float:
    """Share of the cores that is busy while we sleep. The load average would count our past."""
    if not _STAT.exists():
        return 0.0
    before = _jiffies()
    time.sleep(seconds)
    passed = [after - first for after, first in zip(_jiffies(), before, strict=True)]
    return 1 - sum(passed[3:5]) / max(1, sum(passed))  # idle and waiting for input


def _jiffies() -> list[int]:
    return [int(word) for word in _STAT.read_text().splitlines()[0].split()[1:9]]


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
