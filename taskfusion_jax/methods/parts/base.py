"""What a part is: a task's own few parameters, and what they do to a frozen ViT."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.vit import Hooks, ViT


class Part:
    """Pure functions on a task's own parameters. Subclasses act on weights, on tokens, or on both.

    A fresh part leaves the network's output as it is, but for prompts and prefixes, which every
    token sees.

    Attributes:
      config: the whole one.
      options: `config.parts.NAME` in it.
      vit: the network.
    """

    least: ClassVar[Mapping[str, float]] = {}
    """Option -> the least it may be."""

    def __init__(self, name: str, config: ConfigDict, vit: ViT):
        """Raises UserError for an option out of range."""
        options = config.parts[name]
        for option, least in self.least.items():
            if options[option] < least:
                raise UserError(
                    f"config.parts.{name}.{option}={options[option]} must be at least {least}"
                )
        self.config, self.options, self.vit = config, options, vit

    def init(self, rng: jax.Array, base: dict) -> dict:
        """A task's fresh parameters. base: the network's."""
        raise NotImplementedError

    def weights(self, base: dict, own: dict) -> dict:
        """The network's parameters as the task uses them."""
        return base

    def hooks(self, own: dict) -> Hooks:
        """What acts on the tokens beside them; see `models.vit`."""
        return {}

    def each_block(self, make) -> dict:
        """`make(i)` for every block, by its name."""
        return {f"block_{i}": make(i) for i in range(self.vit.depth)}


def joined(first: Hooks, second: Hooks) -> dict[str, Any]:
    """Hooks of two parts as one: prompts and prefixes side by side, low ranks and scales together.

    Raises:
      UserError: both bring adapters.
    """
    both = dict(first)
    for name, hook in second.items():
        both[name] = _JOINED.get(name, joined)(both[name], hook) if name in both else hook
    return both


def _twice(first: Any, second: Any) -> Any:
    raise UserError("config.parts.use: two parts bring adapters; leave one of them out")


_JOINED = {
    "tokens": lambda a, b: jnp.concatenate([a, b]),
    "keys": lambda a, b: jnp.concatenate([a, b]),
    "values": lambda a, b: jnp.concatenate([a, b]),
    "down": lambda a, b: jnp.concatenate([a, b], axis=1),
    "up": lambda a, b: jnp.concatenate([a, b], axis=0),
    "scale": lambda a, b: (1 + a) * (1 + b) - 1,
    "adapter_1": _twice,
    "adapter_2": _twice,
}
