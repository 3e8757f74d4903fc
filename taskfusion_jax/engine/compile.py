"""The one place that decides how programs are compiled."""

import functools
from collections.abc import Callable
from typing import Any

import jax

# XLA's CPU backend hands convolutions to a library path that is 2-10 times slower than
# its own; this leaves only matrix products to the library (docs/architecture.md).
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT"}


@functools.cache
def compiler_options(platform: str) -> dict[str, str]:
    """Options that make compiled programs faster on `platform`, found by trying them once."""
    if platform != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1, compiler_options=_CPU_OPTIONS).lower(0.0).compile()
    except Exception as error:  # which class is raised differs between jaxlib versions
        if "compile option" in str(error).lower():
            return {}
        raise
    return _CPU_OPTIONS


def jit(fun: Callable, **kwargs: Any) -> Any:
    """`jax.jit` with this library's compiler options for the default backend."""
    return jax.jit(fun, compiler_options=compiler_options(jax.default_backend()), **kwargs)


def jit_once(fun: Callable, **kwargs: Any) -> Any:
    """As `jit`, for a program that runs once, and so is not worth long compiling.

    On a CPU the first parameters of a U-Net and its tasks take 5 s like this, in place of 26.
    """
    platform = jax.default_backend()
    least = {"xla_backend_optimization_level": "0"} if platform == "cpu" else {}
    return jax.jit(fun, compiler_options={**compiler_options(platform), **least}, **kwargs)
