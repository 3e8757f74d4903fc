"""Predicts how training speeds up with more devices, from one device's speed and stated links.

    python -m taskfusion_jax.scaling --workloads=film,vit_b16 --machines=v5e,h200 [--json]

A device's speed is assumed (FLOPs over a share of its peak) or measured: --images_per_s=N, or
--measured=FILE with what `python -m taskfusion_jax.benchmark --json` printed on one such device.
docs/scaling.md explains the model.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from absl import flags

from taskfusion_jax import cli
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.scaling.machines import MACHINES
from taskfusion_jax.scaling.predict import PASSES

MEASURED = "train_step/images_per_s"
"""The key of the benchmark's JSON that --measured reads."""

_WORKLOADS = flags.DEFINE_list("workloads", ["film", "vit_b16"], "What is trained.")
_MACHINES = flags.DEFINE_list("machines", list(MACHINES), "On what.")
_MODE = flags.DEFINE_enum("mode", "data", list(PASSES), "Parameters on each device, or shared out.")
_ROWS = flags.DEFINE_integer("rows", None, "Images per device, where fixed.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", None, "Images on all devices, where fixed.", lower_bound=1)
_SHARE = flags.DEFINE_float("share", 0.35, "Of a device's peak, where not measured.", 0.001, 1)
_SPEED = flags.DEFINE_float("images_per_s", None, "Measured on one device.", lower_bound=1e-9)
_MEASURED = flags.DEFINE_string("measured", None, "JSON of the benchmark, run on one device.")
_JSON = flags.DEFINE_bool("json", False, "Print JSON for machines instead of tables.")


def measured_speed() -> float | None:
    """images/s of one device from the flags, if they tell.

    Raises:
      UserError: the file has no such number, or it cannot hold for all that is asked about.
    """
    speed = _SPEED.value
    if _MEASURED.value:
        where = f"--measured={_MEASURED.value}"
        try:
            speed = float(json.loads(Path(_MEASURED.value).read_text())[MEASURED])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{where}: no {MEASURED} in it ({error!r})") from error
        if not speed > 0:
            raise UserError(f"{where}: {MEASURED} is {speed}")
    devices = {MACHINES[name].device for name in _MACHINES.value}
    if speed and (len(_WORKLOADS.value) > 1 or len(devices) > 1):
        raise UserError(
            "a measured speed holds for one workload on one kind of device: name them, such as "
            "--workloads=film --machines=h200,h200_ethernet"
        )
    return speed


def check(flag: flags.FlagHolder, known: Iterable[str]) -> None:
    """Raises UserError where the flag lists a name that is not known."""
    for name in flag.value:
        if name not in known:
            raise UserError(f"--{flag.name}: no '{name}'{did_you_mean(name, known)}")


def main() -> None:
    """Prints the studies asked for."""
    from taskfusion_jax.scaling.study import Study  # slow to import
    from taskfusion_jax.scaling.workloads import WORKLOADS

    check(_WORKLOADS, WORKLOADS)
    check(_MACHINES, MACHINES)
    options = {"share": _SHARE.value, "measured": measured_speed(), "mode": _MODE.value}
    options |= {"rows": _ROWS.value, "batch": _BATCH.value}
    works = [WORKLOADS[name]() for name in _WORKLOADS.value]
    studies = [Study(w, MACHINES[name], **options) for w in works for name in _MACHINES.value]
    if _JSON.value:
        print(json.dumps([record for study in studies for record in study.records()]))
        return
    print("Nothing overlaps; in brackets, computing and exchanging overlap fully.")
    for study in studies:
        print(f"\n{study.text()}")


if __name__ == "__main__":
    cli.run(main)
