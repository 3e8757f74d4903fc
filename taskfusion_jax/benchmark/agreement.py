"""Both sides must do the same before it is worth asking which is faster."""

import numpy as np

from taskfusion_jax.benchmark.work import Result
from taskfusion_jax.errors import UserError

TOLERANCE = {
    "float32": {"output": 1e-4, "loss": 1e-4, "gradient": 1e-2, "floor": 0.01},
    "tensorfloat32": {"output": 1e-2, "loss": 1e-2, "gradient": 1e-1, "floor": 0.1},
    "bfloat16": {"output": 3e-2, "loss": 3e-2, "gradient": 2e-1, "floor": 0.3},
}
"""Precision -> kind of result -> largest relative error; see `check` for `floor`."""

# float32 gradients of the paper's network: PyTorch's own two layouts differ by 2e-3.


def check(ours: Result, theirs: Result, precision: str, field: str) -> float:
    """Compares results array by array, by the norm of the difference over the norm.

    A gradient that is nearly zero, such as that of a bias before a norm, is rounding alone: its
    error is measured by a share of the whole gradient's norm instead, the `floor`.

    Args:
      ours, theirs: arrays by name.
      precision: key of `TOLERANCE`.
      field: what was compared, for the message.

    Returns:
      The largest relative error as a share of what is allowed.

    Raises:
      UserError: an array is missing, has another shape, or differs by more than the tolerance.
    """
    if odd := sorted(ours.keys() ^ theirs.keys()):
        raise UserError(f"{field}: only one side has {', '.join(odd[:3])}")
    whole = np.sqrt(sum(_norm(a) ** 2 for name, a in theirs.items() if _is_gradient(name)))
    worst, name = max((_share(ours[n], theirs[n], whole, n, precision, field), n) for n in theirs)
    if not worst <= 1:
        allowed = TOLERANCE[precision][name.partition("/")[0]]
        raise UserError(
            f"{field}: {name} differs by {worst * allowed:.1e} of its norm from the other side's, "
            f"and {allowed:.0e} is allowed in {precision}: the two do not do the same work"
        )
    return worst


def _is_gradient(name: str) -> bool:
    return name.startswith("gradient/")


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(array, np.float64)))


def _share(ours, theirs, whole: float, name: str, precision: str, field: str) -> float:
    if ours.shape != theirs.shape:
        raise UserError(f"{field}: {name} has shapes {ours.shape} and {theirs.shape}")
    floor = TOLERANCE[precision]["floor"] * whole if _is_gradient(name) else 0
    error = _norm(np.asarray(ours, np.float64) - theirs) / max(_norm(theirs), floor, 1e-30)
    share = error / TOLERANCE[precision][name.partition("/")[0]]
    return share if np.isfinite(share) else np.inf
