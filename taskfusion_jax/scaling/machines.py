"""Devices and the links between them: assumptions, each with its source."""

import dataclasses
import math

from taskfusion_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Link:
    """What joins neighbours of a ring.

    Attributes:
      bandwidth: bytes/s that a device sends along the ring while it receives as much.
      latency: seconds per hop.
    """

    name: str
    bandwidth: float
    latency: float


@dataclasses.dataclass(frozen=True)
class Machine:
    """Many devices of one kind.

    Attributes:
      name: that of the flag.
      device: what one is.
      peak: bfloat16 FLOP/s of a device.
      axes: (devices, link) from the nearest neighbours outwards: hosts or torus axes.
    """

    name: str
    device: str
    peak: float
    axes: tuple[tuple[float, Link], ...]

    def rings(self, devices: int) -> list[tuple[int, Link]]:
        """The rings, each of more than one device, that `devices` form, inner ones filled first.

        Raises:
          UserError: they do not fill whole rings.
        """
        rings, left = [], devices
        for size, link in self.axes:
            taken = int(min(left, size))
            if left % taken:
                raise UserError(f"{devices} {self.device} do not fill rings of {taken}")
            if taken > 1:
                rings.append((taken, link))
            left //= taken
        if left > 1:
            raise UserError(f"{devices} {self.device} are more than one network joins")
        return rings


# Peaks and TPU links: "How to Scale Your Model" (jax-ml.github.io/scaling-book). Peaks of GPUs
# (dense) and NVLink: NVIDIA's data sheets of H100 and H200, which agree in both. Other networks by
# their name. Latencies are round numbers of our choice. None of it was measured here.
# A torus axis is a ring of which both directions carry data: twice 45 GB/s.
_ICI = Link("ICI", 90e9, 1e-6)
_DCN = Link("data-centre network of 25 Gb/s per chip", 3.125e9, 20e-6)
_NVLINK = Link("NVLink", 450e9, 2e-6)
_INFINIBAND = Link("InfiniBand of 400 Gb/s per GPU", 50e9, 5e-6)
_ETHERNET = Link("Ethernet of 100 Gb/s per 8 GPUs", 12.5e9 / 8, 20e-6)

MACHINES = {
    machine.name: machine
    for machine in (
        Machine("v4", "TPU v4", 275e12, ((16, _ICI), (16, _ICI), (16, _ICI))),
        Machine("v5e", "TPU v5e", 197e12, ((16, _ICI), (16, _ICI), (math.inf, _DCN))),
        Machine("h200", "H100 or H200", 989e12, ((8, _NVLINK), (math.inf, _INFINIBAND))),
        Machine("h200_ethernet", "H100 or H200", 989e12, ((8, _NVLINK), (math.inf, _ETHERNET))),
    )
}
