"""One workload on one machine, from 1 to 1024 devices: as records and as text."""

import math

from taskfusion_jax.scaling.machines import Machine
from taskfusion_jax.scaling.predict import (
    PASSES,
    WORTHWHILE,
    Prediction,
    predict,
    rows_needed,
    stops_paying,
)
from taskfusion_jax.scaling.workloads import Workload

LARGEST = 1024


class Study:
    """Predictions for 1, 2, 4, ... 1024 devices.

    Attributes:
      fixed_rows: with `rows` images on every device.
      fixed_batch: with `batch` images shared out among the devices, as far as that goes.
    """

    def __init__(
        self,
        workload: Workload,
        machine: Machine,
        *,
        share: float,
        measured: float | None = None,
        mode: str = "data",
        rows: int | None = None,
        batch: int | None = None,
    ):
        """Predicts.

        Args:
          workload: what is trained.
          machine: on what.
          share: of a device's peak FLOP/s that it reaches, taken where `measured` is absent.
          measured: images/s of a training step on one device.
          mode: key of `PASSES`.
          rows: images per device; the workload's own if absent.
          batch: images on all devices; the workload's own if absent.
        """
        self.workload, self.machine, self.mode = workload, machine, mode
        self.rows, self.batch = rows or workload.rows, batch or workload.batch
        self.image_s = 1 / measured if measured else workload.flops / (share * machine.peak)
        peak = f"{share:.0%} of {machine.peak / 1e12:g} TFLOP/s, assumed"
        self.speed = "measured" if measured else f"{workload.flops / 1e9:.1f} GFLOPs at {peak}"
        counts = [2**i for i in range(LARGEST.bit_length())]
        self.fixed_rows = [self._predict(n, self.rows) for n in counts]
        self.fixed_batch = [self._predict(n, self.batch // n) for n in counts if n <= self.batch]

    def _predict(self, devices: int, rows: int) -> Prediction:
        size = self.workload.size
        return predict(devices, rows, self.image_s, size, self.machine, self.mode)

    def records(self) -> list[dict]:
        """Flat records, one for each number of devices and each of the two cases."""
        return [
            {
                "workload": self.workload.title,
                "machine": self.machine.name,
                "mode": self.mode,
                "fixed": fixed,
                "devices": p.devices,
                "rows": p.rows,
                "compute_s": p.compute_s,
                "exchange_s": p.exchange_s,
                "images_per_s": p.images_per_s(0),
                "images_per_s_overlapped": p.images_per_s(1),
                "efficiency": p.efficiency(0),
                "efficiency_overlapped": p.efficiency(1),
            }
            for fixed, predictions in (("rows", self.fixed_rows), ("batch", self.fixed_batch))
            for p in predictions
        ]

    def text(self) -> str:
        """What is assumed, the table, and where more devices stop paying."""
        per_device, in_all = f"{self.rows} images per device", f"{self.batch} images in all"
        batches = {p.devices: p for p in self.fixed_batch}
        lines = [
            *self._assumptions(),
            _row("", "", per_device, in_all),
            _row("devices", "exchange", *("images/s", "efficiency") * 2),
        ]
        for p in self.fixed_rows:
            other = _cells(batches[p.devices]) if p.devices in batches else ("-", "-")
            lines.append(_row(f"{p.devices}", f"{p.exchange_s * 1e3:.3g} ms", *_cells(p), *other))
        lines += [_verdict(per_device, self.fixed_rows), _verdict(in_all, self.fixed_batch)]
        most = self.fixed_rows[-1]
        need = [rows_needed(most.exchange_s, self.image_s, overlap) for overlap in (0, 1)]
        lines.append(
            f"{WORTHWHILE:.0%} on {most.devices} devices needs {need[0]} ({need[1]}) images per "
            "device and update."
        )
        return "\n".join(lines)

    def _assumptions(self) -> list[str]:
        work, machine = self.workload, self.machine
        links = (
            f"  {'rings of any size' if size == math.inf else f'rings of {size}'}: {link.name}, "
            f"{link.bandwidth / 1e9:.4g} GB/s, {link.latency * 1e6:g} us per hop"
            for size, link in machine.axes
        )
        return [
            f"{work.title}, on {machine.name} ({machine.device}), {self.mode}",
            f"  {work.parameters:,} parameters: {work.size / 1e6:.1f} MB go round "
            f"{PASSES[self.mode]} times per step",
            f"  {self.image_s * 1e3:.3g} ms per image: {self.speed}",
            *links,
        ]


def _verdict(case: str, predictions: list[Prediction]) -> str:
    ends = [stops_paying(predictions, overlap) for overlap in (0, 1)]
    told = [f"from {n} devices" if n else "nowhere" for n in ends]
    return f"{case}: below {WORTHWHILE:.0%} {told[0]} ({told[1]})."


def _cells(p: Prediction) -> tuple[str, str]:
    return (
        f"{p.images_per_s(0):,.0f} ({p.images_per_s(1):,.0f})",
        f"{p.efficiency(0):.0%} ({p.efficiency(1):.0%})",
    )


def _row(devices: str, exchange: str, *cells: str) -> str:
    widths = (24, 12, 24, 12) if len(cells) == 4 else (37, 37)
    padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{devices:>7} {exchange:>9} {' '.join(padded)}".rstrip()
