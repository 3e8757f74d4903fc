"""Our side of a work: programs compiled ahead of time, with what XLA says of them."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from taskfusion_jax.benchmark import timing
from taskfusion_jax.benchmark.work import Result, Work
from taskfusion_jax.engine import names
from taskfusion_jax.engine.compile import jit

_SIDE = {"cpu": 2048}
"""Of the matrices whose product shows what a machine can do; 8192 on accelerators."""


class _Compiled:
    """A program with its compile time, peak memory and FLOPs by XLA's count."""

    def __init__(self, function: Any, *args: Any):
        """function: a jitted function; args: what it will be called with."""
        began = time.perf_counter()
        self.call = function.lower(*args).compile()
        self.compile_s = time.perf_counter() - began
        memory = self.call.memory_analysis()
        self.peak_bytes = memory and (
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            + memory.temp_size_in_bytes
            - memory.alias_size_in_bytes
        )
        self.xla_flops = (self.call.cost_analysis() or {}).get("flops")


class Forward(_Compiled):
    """`function(*args)` again and again."""

    def __init__(self, function: Callable, *args: Any):
        super().__init__(jit(function), *args)
        self._args = jax.device_put(args)
        self.result: Result = {"output": np.asarray(self.call(*self._args), np.float32)}

    def run(self, calls: int) -> None:
        """See `Program`."""
        for _ in range(calls):
            output = self.call(*self._args)
        jax.block_until_ready(output)


class Called:
    """A function of the host again and again, each call waited for."""

    peak_bytes = xla_flops = None

    def __init__(self, function: Callable[[], Any], first: int = 1):
        """first: calls until nothing is left to compile."""
        self._function, self.result = function, {}
        self.compile_s = timing.seconds(self, first)

    def run(self, calls: int) -> None:
        """See `Program`."""
        for _ in range(calls):
            jax.block_until_ready(self._function())


class Step(_Compiled):
    """`state, metrics = step(state, *rest)` again and again, from one state to the next.

    Its gradient is read from Adam's first moment after the first step, which is (1 - b1) times
    the gradient: the very program that is timed is compared, and nothing else is compiled.
    """

    def __init__(self, step: Any, b1: float, state: Any, *rest: Any):
        """step: jitted, `metrics` with a `loss`; b1: Adam's; state: as it begins, donated."""
        super().__init__(step, state, *rest)
        self._rest = rest
        self._state, metrics = self.call(state, *rest)
        moments = names.flatten(optax.tree.get(self._state, "mu"))
        self.result: Result = {"loss": np.asarray(metrics["loss"], np.float32)}
        for name, moment in moments.items():
            self.result[f"gradient/{name}"] = np.asarray(moment, np.float32) / (1 - b1)

    def run(self, calls: int) -> None:
        """See `Program`."""
        for _ in range(calls):
            self._state, metrics = self.call(self._state, *self._rest)
        jax.block_until_ready((self._state, metrics))


def supervised_step(loss: Callable, params: dict, batch: tuple, lr: float) -> Step:
    """A plain training step: the gradient of `loss(params, *batch)` and Adam.

    Its gradients are named as those of the full step: `net/` and the parameter's name.
    """
    optimiser = optax.adam(lr)

    def step(state, batch):
        params, adam = state
        value, grads = jax.value_and_grad(lambda p: loss(p["net"], *batch))(params)
        updates, adam = optimiser.update(grads, adam)
        return (optax.apply_updates(params, updates), adam), {"loss": value}

    params = {"net": jax.tree.map(jnp.array, params)}  # copies, as they are donated
    state = (params, optimiser.init(params))
    return Step(jit(step, donate_argnums=0), 0.9, state, jax.device_put(batch))


def matmul(dtype: jnp.dtype, seed: int) -> Work:
    """A square product large enough to show how many FLOP/s the machine has to give."""
    side = _SIDE.get(jax.default_backend(), 8192)
    a = np.random.default_rng(seed).standard_normal((side, side), np.float32)
    b = a.T.copy()

    def twin():
        from taskfusion_jax.benchmark.twins.layers import matmul_twin

        return matmul_twin(a, b, jnp.dtype(dtype).name)

    def program():
        return Forward(jnp.matmul, jnp.asarray(a, dtype), jnp.asarray(b, dtype))

    return Work("matmul", 1, 2 * side**3, program, twin)
