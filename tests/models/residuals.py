"""What a backward pass keeps, on any backend."""

import math
import re
from collections.abc import Callable
from typing import Any

from jax.ad_checkpoint import print_saved_residuals


def kept_shapes(capsys, loss: Callable, *args: Any) -> list[tuple[int, ...]]:
    """Shapes of all that the gradient of `loss` keeps beside its arguments."""
    print_saved_residuals(loss, *args)
    lines = capsys.readouterr().out.splitlines()
    found = [
        re.match(r"\w+\[([\d,]*)\]", line) for line in lines if "from the argument" not in line
    ]
    return [tuple(int(side) for side in shape[1].split(",") if side) for shape in found]


def kept_values(capsys, loss: Callable, *args: Any) -> int:
    """How many numbers that is."""
    return sum(math.prod(shape) for shape in kept_shapes(capsys, loss, *args))
