"""The PyTorch side of a work: eager and compiled, in both memory layouts."""

import copy
import dataclasses
import itertools
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from taskfusion_jax.benchmark.twins.weights import flax_names
from taskfusion_jax.benchmark.work import Result

LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclasses.dataclass(frozen=True)
class Twin:
    """One work in PyTorch.

    Attributes:
      module: with its weights; `module(*inputs)` is the output, or in training the loss.
      inputs: tensors; images are [B, C, H, W].
      optimiser: module -> its optimiser; None = no training.
      after_step: what else moves with each step, such as an averaged network.
      layouts: names among `LAYOUTS`; one is enough where there are no images within.
      modes: eager, compile.
    """

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    optimiser: Callable[[nn.Module], torch.optim.Optimizer] | None = None
    after_step: Callable[[nn.Module], None] | None = None
    layouts: tuple[str, ...] = tuple(LAYOUTS)
    modes: tuple[str, ...] = ("eager", "compile")

    def variants(self) -> list[tuple[str, str]]:
        """(mode, layout) of every way to run it."""
        return list(itertools.product(self.modes, self.layouts))


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def images(array: np.ndarray) -> torch.Tensor:
    """[..., H, W, C] -> [..., C, H, W]."""
    return torch.from_numpy(np.moveaxis(array, -1, -3).copy())


class TorchProgram:
    """One variant of a twin; see `work.Program`."""

    xla_flops = None

    def __init__(self, twin: Twin, mode: str, layout: str):
        """Copies the twin's module and calls it once, which compiles it.

        Raises:
          Exception: whatever the compiler raises; it may be absent.
        """
        where, form = device(), LAYOUTS[layout]
        before = torch.cuda.memory_allocated() if where.type == "cuda" else 0
        self._module = copy.deepcopy(twin.module).to(where, memory_format=form)
        self._inputs = tuple(_placed(tensor, where, form) for tensor in twin.inputs)
        self._after_step = twin.after_step
        self._optimiser = twin.optimiser and twin.optimiser(self._module)
        compiled = mode == "compile"
        self._function = torch.compile(self._module, dynamic=False) if compiled else self._module
        self._call = self._step if self._optimiser else self._forward
        began = time.perf_counter()
        output = self._call()
        self._wait()
        self.compile_s = time.perf_counter() - began if compiled else 0.0
        self.result = self._result(output.detach())
        self.peak_bytes = self._measure_memory(before) if where.type == "cuda" else None

    def run(self, calls: int) -> None:
        """See `Program`."""
        for _ in range(calls):
            self._call()
        self._wait()

    def _forward(self) -> torch.Tensor:
        with torch.no_grad():
            return self._function(*self._inputs)

    def _step(self) -> torch.Tensor:
        self._optimiser.zero_grad(set_to_none=True)
        loss = self._function(*self._inputs)
        loss.backward()
        self._optimiser.step()
        if self._after_step:
            self._after_step(self._module)
        return loss

    def _wait(self) -> None:
        if device().type == "cuda":
            torch.cuda.synchronize()

    def _result(self, output: torch.Tensor) -> Result:
        if not self._optimiser:
            output = output.permute(0, 2, 3, 1) if output.ndim == 4 else output
            return {"output": output.float().cpu().numpy()}
        result = {"loss": output.float().cpu().numpy()}
        names = flax_names(self._module)
        for name, parameter in self._module.named_parameters():
            if parameter.requires_grad:
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                result[f"gradient/{names[name]}"] = grad.float().cpu().numpy()
        return result

    def _measure_memory(self, before: int) -> int:
        """Bytes at the peak of one call, less what others had before this one was made."""
        torch.cuda.reset_peak_memory_stats()
        self.run(1)
        return torch.cuda.max_memory_allocated() - before


def _placed(tensor: torch.Tensor, where: torch.device, form: torch.memory_format) -> torch.Tensor:
    return tensor.to(where, memory_format=form) if tensor.ndim == 4 else tensor.to(where)


def prepare(threads: int, tensorfloat32: bool) -> None:
    """Gives PyTorch as many threads as JAX has, cuDNN's search, and JAX's precision of float32."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = tensorfloat32
    torch.backends.cuda.matmul.allow_tf32 = tensorfloat32


def forget() -> None:
    """Drops what was compiled before: past a few versions of a function, PyTorch compiles no more
    and says nothing."""
    torch.compiler.reset()
