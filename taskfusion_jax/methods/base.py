"""What a method is: which parameters a task vector uses, and how rows of many tasks run."""

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError
from taskfusion_jax.methods.backbone import BACKBONES, build_backbone

SHARED = ("base/", "shared/")
"""What names begin with of parameters that tasks with networks of their own share."""


class Method:
    """One backbone, and where each task's own part sits. Subclasses fill in that blank.

    Attributes:
      slots: width of the task vector.
      channels: slot -> channels of its task's output, of the slots that have a task.
      backbone: the network.
      dtype: of the computation.
    """

    blends: ClassVar[bool] = True
    """Whether a vector may ask for a task at half its strength."""
    combines: ClassVar[bool] = True
    """Whether one vector may ask for several tasks."""
    one_network: ClassVar[bool] = False
    """Whether all tasks have the same parameters, so that the vector alone tells them apart."""
    backbones: ClassVar[tuple[str, ...]] = ("transform_net",)
    """Those it can be built on."""
    base_name: str = "base"
    """What a network that masks lie on is called, for people."""
    parts: ClassVar[Mapping[str, Any]] = {}
    """What a TransformNet is built with: norms and attention of `models.conditioning`."""

    def __init__(self, config: ConfigDict, channels: Mapping[int, int]):
        """Builds the backbone.

        Args:
          config: the whole config, of which slots, dtype and the backbone's options are read.
          channels: see the class.

        Raises:
          UserError: the method cannot be built on this backbone.
        """
        self.slots, self.channels = config.slots, dict(channels)
        if config.backbone in BACKBONES and config.backbone not in self.backbones:
            raise UserError(
                f"config.method={config.method} works on {', '.join(self.backbones)}, not on "
                f"config.backbone={config.backbone}"
            )
        parts = self.parts if config.backbone == "transform_net" else {}
        self.backbone = build_backbone(config, max(self.channels.values()), parts)
        self.dtype = self.backbone.dtype

    def init(self, rng: jax.Array) -> dict:
        """Fresh parameters."""
        return self.init_net(rng)

    def init_net(self, rng: jax.Array, slot: int = 0) -> dict:
        """Fresh parameters of one backbone with the output layer of a slot's task."""
        return self.backbone.init(rng, self.channels.get(slot, 3))

    def pretrained(self, known: Collection[str]) -> dict[str, np.ndarray]:
        """Those first parameters that come from a file, by slash-joined name: of what tasks share,
        else of each task.

        known: names of all parameters.
        """
        found = {}
        tasks = [f"task_{slot}/" for slot in self.channels]
        for name, x in self.backbone.pretrained().items():
            shared = [f"{of}{name}" for of in ("", *SHARED) if f"{of}{name}" in known]
            every = shared or [f"{task}{name}" for task in tasks if f"{task}{name}" in known]
            found |= dict.fromkeys(every, x)
        return found

    represent: Callable | None = None
    """(picked, x) -> what a head of classes reads, [B, width]; None where there are no heads."""
    choice: Callable | None = None
    """(picked, x) -> (the prompts of a pool that images pick, how near they are), [B, picks]."""
    nearest: Callable | None = None
    """(params, x, slots) -> the place in `slots` of the task whose key is nearest, [B]."""

    def aside(self, params: dict, x: jax.Array, c: np.ndarray) -> dict[str, jax.Array]:
        """Loss terms of the method's own, by name; arguments as of `apply`."""
        return {}

    def pick(self, params: dict, vector: np.ndarray) -> dict:
        """The backbone's parameters for a task vector, float32 [slots].

        Raises:
          UserError: the method cannot do what the vector asks for.
        """
        return params

    def run(self, picked: dict, x: jax.Array, c: jax.Array) -> jax.Array:
        """The backbone: x: [B, H, W, 3] in [0, 1], c: [B, slots] -> [B, H, W, channels], images
        around [0, 1]."""
        return self.backbone.apply(picked, x, c)

    def apply(self, params: dict, x: jax.Array, c: np.ndarray) -> jax.Array:
        """As `run`, for rows of any tasks."""
        return self.run(params, x, c)

    def route(self, vector: np.ndarray) -> Hashable:
        """Vectors of one route have the same parameters picked."""
        return vector.tobytes()

    def check_moves(self, moving: list[str], slots: set[int], field: str) -> None:
        """Raises UserError where a stage that trains the tasks of these slots must not move these
        parameters. field: of the config, for the message."""

    def per_task(self, shapes: Mapping[str, Any], slot: int) -> int:
        """How many parameters only the task in `slot` uses. shapes: by slash-joined name."""
        return 0

    def mask_bits(self, shapes: Mapping[str, Any], slot: int) -> int:
        """How many 1-bit weights of masks only the task in `slot` uses."""
        return 0

    def uses(self, name: str, slot: int) -> bool:
        """Whether the task in `slot` has any use for a parameter."""
        return True

    def shares(self, name: str) -> bool:
        """Whether a parameter belongs to all tasks and, where it changes, changes for all."""
        return False


def each_apart(method: Method, params: dict, x: jax.Array, c: np.ndarray) -> jax.Array:
    """Runs the rows of each route with the parameters picked for it; as `Method.apply`."""
    routes: dict[Hashable, list[int]] = {}
    for row, vector in enumerate(c):
        routes.setdefault(method.route(vector), []).append(row)
    if len(routes) == 1:
        return method.run(method.pick(params, c[0]), x, c)
    parts = [
        method.run(method.pick(params, c[rows[0]]), x[np.array(rows)], c[rows])
        for rows in routes.values()
    ]
    return jnp.concatenate(parts)[np.argsort(np.concatenate(list(routes.values())))]


ROWS = ("generator/kernel", "task/kernel", "gate/kernel")
"""Ends of the names of matrices that a task vector is multiplied with: a row per slot."""


class Told(Method):
    """Every row goes through one shared network, which is told its task by the vector."""

    one_network = True

    def route(self, vector):
        """All have the same parameters."""
        return ()

    def per_task(self, shapes, slot):
        """A task owns its row of every matrix that the vector is multiplied with; slot 0 none."""
        return sum(x.shape[1] for name, x in shapes.items() if slot and name.endswith(ROWS))


class Routed(Method):
    """Every row goes through its own task's network, which `network` puts together.

    Parameters: below `task_SLOT/` what one task has alone, elsewhere what tasks share.
    """

    blends = False
    combines = False
    backbones = ("transform_net", "unet", "resnet")

    def network(self, params: dict, slot: int) -> dict:
        """The backbone's parameters for the task in `slot`."""
        raise NotImplementedError

    def pick(self, params, vector):
        """See `Method.pick`."""
        return self.backbone.widen(self.network(params, self._slot(vector)))

    def apply(self, params, x, c):
        """See `Method.apply`; c must be known when compiling, as rows are sorted by task."""
        return each_apart(self, params, x, c)

    def _slot(self, vector: np.ndarray) -> int:
        return (self._asked(vector, most=1) or [0])[0]

    def _asked(self, vector: np.ndarray, most: int) -> list[int]:
        asked = np.flatnonzero(vector)
        if len(asked) > most or not np.all(vector[asked] == 1):
            many = "one task" if most == 1 else "tasks"
            raise UserError(
                f"this method has parameters per task, so it can do {many} at strength 1, not "
                f"{np.asarray(vector).tolist()}"
            )
        return asked.tolist()

    def per_task(self, shapes, slot):
        """A task owns what lies below its own name, but for masks."""
        return sum(
            x.size
            for name, x in shapes.items()
            if name.startswith(f"task_{slot}/") and "/mask/" not in name
        )

    def mask_bits(self, shapes, slot):
        """A task owns the masks below its own name."""
        return sum(x.size for k, x in shapes.items() if k.startswith(f"task_{slot}/mask/"))

    def uses(self, name, slot):
        """All that is shared, and its own."""
        return name.startswith(f"task_{slot}/") or self.shares(name)

    def shares(self, name):
        """What lies below no task's name."""
        return not name.startswith("task_")
