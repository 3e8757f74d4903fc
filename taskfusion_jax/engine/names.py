"""Parameters by slash-joined name, chosen by regular expression."""

import re
from collections.abc import Iterable
from typing import Any

import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from taskfusion_jax.errors import UserError


def flatten(tree: dict) -> dict[str, Any]:
    """Nested dicts -> one dict with names such as `net/down_0/conv/kernel`."""
    return flatten_dict(tree, sep="/")


def unflatten(flat: dict[str, Any]) -> dict:
    """The inverse of `flatten`."""
    return unflatten_dict(flat, sep="/")


def split(tree: dict, pattern: str, field: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a tree into flat dicts of the leaves whose whole name matches, and the rest.

    Raises:
      UserError: `pattern`, given in config field `field`, is no regular expression or matches
        nothing.
    """
    flat = flatten(tree)
    try:
        chosen = {name: leaf for name, leaf in flat.items() if re.fullmatch(pattern, name)}
    except re.error as error:
        raise UserError(f"{field}='{pattern}' is no regular expression: {error}") from error
    if not chosen:
        some = ", ".join(list(flat)[:3])
        raise UserError(f"{field}='{pattern}' matches no parameter; names look like {some}")
    return chosen, {name: leaf for name, leaf in flat.items() if name not in chosen}


def by_rules(names: Iterable[str], rules: tuple, default: float, field: str) -> dict:
    """For each name the value of the first rule (regex, value) that matches it whole.

    Raises:
      UserError: `rules`, given in config field `field`, are not such pairs.
    """
    try:
        rules = [(re.compile(regex), float(value)) for regex, value in rules]
    except (re.error, TypeError, ValueError) as error:
        raise UserError(
            f"{field}={rules!r} must be pairs such as (('net/out/.*', 0.1),): {error}"
        ) from error
    return {
        name: next((value for regex, value in rules if regex.fullmatch(name)), default)
        for name in names
    }


def size(tree: Any) -> int:
    """Number of values in a tree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
