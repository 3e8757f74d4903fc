"""From `config.method` to the works that a benchmark of it measures."""

import importlib
from collections.abc import Callable, Mapping
from typing import Protocol

import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.benchmark.pipeline import Pipeline
from taskfusion_jax.benchmark.work import Work
from taskfusion_jax.errors import UserError, did_you_mean

WORKLOADS = {
    "film": "film:Film",
    "piggyback": "masks:Masks",
    "unet": "classify:UNetWorks",
    "vit": "classify:ViTWorks",
    "vit_parts": "parts:Parts",
}
"""Method -> module and class here."""


class Workload(Protocol):
    """What a config gives to measure.

    Attributes:
      dtype: of the compute.
    """

    dtype: jnp.dtype

    def works(self) -> Mapping[str, Callable[[], Work]]:
        """Name -> what makes the work, in the order of the table."""

    def pipeline(self) -> Pipeline | None:
        """The input pipeline; None where the config has none."""


def build_workload(config: ConfigDict, batch: int, stage: str | None) -> Workload:
    """The works of `config.method`; see the workloads for the arguments.

    Raises:
      UserError: nothing is measured for such a method, or the config is wrong.
    """
    if config.method not in WORKLOADS:
        hint = did_you_mean(config.method, WORKLOADS)
        raise UserError(f"config.method: no benchmark of '{config.method}'{hint}")
    module, _, name = WORKLOADS[config.method].partition(":")
    workload = getattr(importlib.import_module(f"taskfusion_jax.benchmark.{module}"), name)
    return workload(config, batch, stage)
