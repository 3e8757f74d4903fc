"""Where each parameter lives on the mesh, by rules on its name."""

import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from taskfusion_jax.engine.mesh import AXES
from taskfusion_jax.errors import UserError

Specs = dict[str, PartitionSpec]
_EXAMPLE = "((r'.*/kernel', 'fsdp'), (r'.*/fc1/kernel', ('', 'model')))"


def parameter_specs(mesh: Mesh, rules: tuple, shapes: Mapping[str, Any], field: str) -> Specs:
    """Which mesh axis divides which dimension of each parameter; no rule, no division.

    A rule is (regex on the whole name, axis or axes), and the first that matches counts. One axis
    divides the largest dimension that it can divide, the last among equals; where it can divide
    none, the parameter stays whole. A tuple names an axis, or '', for each dimension.

    Args:
      mesh: with the axes of `AXES`.
      rules: as in the config.
      shapes: arrays or their shapes by slash-joined name.
      field: config field of the rules, for error messages.

    Raises:
      UserError: a rule is none, names no axis, matches nothing, or does not fit what it matches.
    """
    try:
        compiled = [(re.compile(regex), axes) for regex, axes in rules]
        named = [(axes,) if isinstance(axes, str) else tuple(axes) for _, axes in compiled]
    except (re.error, TypeError, ValueError) as error:
        raise UserError(f"{field}={rules!r} must be rules such as {_EXAMPLE}: {error}") from error
    for axes in named:
        used = [axis for axis in axes if axis]
        for axis in used:
            if axis not in AXES:
                raise UserError(f"{field}: no mesh axis '{axis}'; there are {', '.join(AXES)}")
        if len(set(used)) < len(used):
            raise UserError(f"{field}: {axes} names an axis twice")
    for regex, _ in compiled:
        if not any(regex.fullmatch(name) for name in shapes):
            some = ", ".join(list(shapes)[:3])
            raise UserError(
                f"{field}: '{regex.pattern}' matches no parameter; names look like {some}"
            )
    specs = {}
    for name, leaf in shapes.items():
        axes = next((axes for regex, axes in compiled if regex.fullmatch(name)), "")
        make = _on_largest if isinstance(axes, str) else _by_dimension
        specs[name] = make(mesh, axes, leaf.shape, f"{field}: '{name}'")
    return specs


def _on_largest(mesh: Mesh, axis: str, shape: tuple[int, ...], _what: str) -> PartitionSpec:
    size = mesh.shape[axis] if axis else 1
    fitting = [i for i, length in enumerate(shape) if size > 1 and length % size == 0]
    if not fitting:
        return PartitionSpec()
    chosen = max(fitting, key=lambda i: (shape[i], i))
    return PartitionSpec(*(axis if i == chosen else None for i in range(len(shape))))


def _by_dimension(mesh: Mesh, axes: tuple, shape: tuple[int, ...], what: str) -> PartitionSpec:
    if len(axes) != len(shape):
        raise UserError(f"{what} has {len(shape)} dimensions {shape}, the rule names {len(axes)}")
    for axis, length in zip(axes, shape, strict=True):
        if axis and length % mesh.shape[axis]:
            raise UserError(f"{what} {shape}: {axis}={mesh.shape[axis]} does not divide {length}")
    used = (axis if axis and mesh.shape[axis] > 1 else None for axis in axes)
    return PartitionSpec(*used)


def state_shardings(mesh: Mesh, specs: Specs, state: Any) -> Any:
    """Shardings of a whole state: what belongs to a parameter lies as the parameter does.

    Args:
      mesh: the mesh.
      specs: of `state.params`, by slash-joined name.
      state: arrays or shapes.
    """

    def sharding(path, leaf):
        keys = [str(part.key) for part in path if isinstance(part, jax.tree_util.DictKey)]
        name = "/".join(keys)  # the averaged and the teacher's networks lack the prefix `net`
        return NamedSharding(mesh, specs.get(name) or specs.get(f"net/{name}") or PartitionSpec())

    return jax.tree_util.tree_map_with_path(sharding, state)
