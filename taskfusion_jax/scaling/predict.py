"""The model: closed forms for what devices exchange, and the images/s that remain."""

import dataclasses
import math
from collections.abc import Iterable

from taskfusion_jax.scaling.machines import Link, Machine

PASSES = {"data": 2, "fsdp": 2}
"""How often the parameters' bytes go round per step. Pure data parallelism: one all-reduce of the
gradients, which is a reduce-scatter and an all-gather. fsdp: the parameters are gathered once, the
gradients reduce-scattered (`engine/gradients.py`), which is the same."""

WORTHWHILE = 0.8
"""Below this efficiency more devices do not pay."""


def pass_seconds(size: float, rings: Iterable[tuple[int, Link]]) -> float:
    """Time of one all-gather or reduce-scatter of `size` bytes.

    On a ring of n devices everyone sends (n - 1) / n of the bytes in n - 1 hops. Several rings take
    turns, from the inside out, each on the part that the ones before left to a device; at equal
    bandwidths the parts add up to (n - 1) / n over all devices.
    """
    seconds = 0.0
    for devices, link in rings:
        seconds += (devices - 1) / devices * size / link.bandwidth + (devices - 1) * link.latency
        size /= devices
    return seconds


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One step on some devices. Overlap 0: they compute, then exchange; 1: both at once.

    Attributes:
      devices: how many.
      rows: images per device and step.
      compute_s: seconds that a device computes.
      exchange_s: seconds that the devices exchange bytes.
    """

    devices: int
    rows: int
    compute_s: float
    exchange_s: float

    def step_s(self, overlap: int) -> float:
        """Seconds per step with no overlap (0) or all that there can be (1)."""
        if overlap:
            return max(self.compute_s, self.exchange_s)
        return self.compute_s + self.exchange_s

    def images_per_s(self, overlap: int) -> float:
        """Of all devices together."""
        return self.devices * self.rows / self.step_s(overlap)

    def efficiency(self, overlap: int) -> float:
        """images/s over what as many devices would do that exchange nothing."""
        return self.compute_s / self.step_s(overlap)


def predict(
    devices: int, rows: int, image_s: float, size: int, machine: Machine, mode: str = "data"
) -> Prediction:
    """One step.

    Args:
      devices: how many.
      rows: images per device.
      image_s: seconds per image on one device, taken to be the same for any number of rows.
      size: bytes of the parameters, which are those of their gradients.
      machine: what the devices and their links are.
      mode: key of `PASSES`.
    """
    exchange = PASSES[mode] * pass_seconds(size, machine.rings(devices))
    return Prediction(devices, rows, rows * image_s, exchange)


def rows_needed(exchange_s: float, image_s: float, overlap: int) -> int:
    """The fewest images per device and update at which the efficiency is `WORTHWHILE`.

    They may come in several batches whose gradients are accumulated: the exchange is once per
    update.
    """
    ratio = WORTHWHILE if overlap else WORTHWHILE / (1 - WORTHWHILE)
    return max(1, math.ceil(ratio * exchange_s / image_s - 1e-9))


def stops_paying(predictions: Iterable[Prediction], overlap: int) -> int | None:
    """The first number of devices whose efficiency is below `WORTHWHILE`, if any."""
    return next((p.devices for p in predictions if p.efficiency(overlap) < WORTHWHILE), None)
