"""Classes that a config names: those of the package by a word, a user's own by MODULE:CLASS."""

import importlib
from collections.abc import Mapping

from taskfusion_jax.errors import UserError, did_you_mean


def find_class(name: str, known: Mapping[str, type], base: type, field: str) -> type:
    """`known[name]`, or the class that `module:Class` names, which may lie wherever Python looks.

    Raises:
      UserError: an unknown name, a module or class that is not there, or one not made from `base`.
        field: of the config, begins the message.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        if name not in known:
            raise UserError(f"{field}: no '{name}'{did_you_mean(name, known)}")
        return known[name]
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(
            f"{field}={name}: {error}; a class of your own is MODULE:CLASS, and Python must find "
            "the module from where the command is run"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(f"{field}={name} is no class made from {base.__module__}.{base.__name__}")
    return found
