"""The other side of a benchmark: PyTorch, if it is there and can do the same work."""

import contextlib
import warnings
from collections.abc import Callable, Iterator

import jax

from taskfusion_jax.benchmark import machine
from taskfusion_jax.benchmark.agreement import check
from taskfusion_jax.benchmark.work import Program, Result, Work
from taskfusion_jax.errors import UserError


class Torch:
    """The other side; importing it happens here."""

    def __init__(self, dtype: str, notes: list[str]):
        """Makes PyTorch ready.

        Args:
          dtype: `config.dtype`, which decides how closely results must agree.
          notes: where it tells what is missing.

        Raises:
          UserError: PyTorch is absent, or runs on another kind of device.
        """
        try:
            import torch
        except ImportError:
            raise UserError(
                "--against=torch: PyTorch is not installed; pip install torch==2.13.0"
            ) from None
        backend, count = jax.default_backend(), jax.device_count()
        if count > 1 or backend not in ("cpu", "gpu"):
            raise UserError(f"--against=torch compares one CPU or GPU, not {count} x {backend}")
        if (backend == "gpu") != torch.cuda.is_available():
            raise UserError(
                f"--against=torch: JAX runs on {backend}, but PyTorch "
                f"{'finds a' if backend == 'cpu' else 'finds no'} GPU; install both for the same"
            )
        from taskfusion_jax.benchmark.twins import program

        self._program, self._notes, self._compiles = program, notes, True
        program.prepare(machine.cores(), machine.tensorfloat32())
        if backend == "gpu":
            kind = "TensorFloat-32" if machine.tensorfloat32() else "full float32"
            notes.append(f"float32 products run as {kind} on both sides; cuDNN searches kernels")
        wide = "tensorfloat32" if machine.tensorfloat32() else "float32"
        self._precision = wide if dtype == "float32" else dtype

    def programs(self, work: Work, ours: Result, say: Callable[[str], None]) -> dict[str, Program]:
        """Every variant that runs, each checked against our result.

        Raises:
          UserError: a variant's result differs.
        """
        from taskfusion_jax.benchmark.twins.weights import gradients_to_torch

        self._program.forget()
        twin, made = work.twin(), {}
        expected = gradients_to_torch(twin.module, ours)
        for mode, layout in twin.variants():
            name = f"torch {mode} {layout}"
            if mode == "compile" and not self._compiles:
                continue
            say(f"preparing {name}")
            try:
                with _quiet():
                    program = self._program.TorchProgram(twin, mode, layout)
            except Exception as error:  # no compiler, or one that fails: the others still count
                if mode != "compile":
                    raise
                self._compiles = False
                self._notes.append(f"torch.compile does not work here: {_line(error)}")
                continue
            check(expected, program.result, self._precision, f"{work.name}, {name}")
            made[name] = program
        return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The compiler warns about whatever it could do better."""
    with warnings.catch_warnings(action="ignore"):
        yield


def _line(error: Exception) -> str:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return words if len(words) <= 160 else f"{words[:160]}..."
