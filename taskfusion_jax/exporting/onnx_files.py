"""Export as ONNX, traced from the PyTorch module that `torch_files` writes, whose weights and
numbers are the same: a tracer of JAX would have to be taught each operator once more."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from taskfusion_jax.engine.files import write_bytes
from taskfusion_jax.errors import UserError
from taskfusion_jax.exporting.format import Format, write_check, write_example
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.exporting.torch_files import torch_module
from taskfusion_jax.inference.model import Model

OPSET = 20
_MOST = 1 << 14  # of a side, in pixels: the tracer wants a bound
_MADE = """run = onnxruntime.InferenceSession(str(path.with_suffix(".onnx"))).run
    (made,) = run(None, dict(zip(("x", "c"), inputs)))"""


def write_onnx(model: Model, networks: Sequence[Network], output: Path, side: int) -> None:
    """Writes NAME.onnx of each network, weights within; see `Format.write`.

    Batch and sides are free, but for a ViT's sides; `side` is of the examples.

    Raises:
      UserError: PyTorch or its exporter is missing, or a network does not take this size.
    """
    for network in networks:
        write_bytes(output / f"{network.name}.onnx", onnx_bytes(network))
        write_example(network, output, side, channels_first=True)
    write_check(output, "onnxruntime, numpy", "import onnxruntime", _MADE)


def onnx_bytes(network: Network) -> bytes:
    """An ONNX model: x float32 [batch, 3, height, width] in [0, 1] and, where the network is told
    its task, c [batch, slots] -> y [batch, channels, height, width] or [batch, classes]."""
    try:
        import onnxscript  # noqa: F401  which torch.onnx needs
        import torch
    except ImportError as error:
        raise UserError(
            f"--format=onnx and web need {error.name}: pip install 'taskfusion_jax[export]'"
        ) from None
    batch, side = torch.export.Dim("batch"), network.side
    height, width = (torch.export.Dim(f"{n}_steps", max=_MOST // side) for n in ("high", "wide"))
    sides = {} if network.size else {2: side * height, 3: side * width}
    shapes, (x, c) = {"x": {0: batch, **sides}}, network.example(batch=2)
    inputs = {"x": torch.from_numpy(x).movedim(-1, 1)}
    if network.slots:
        inputs["c"], shapes["c"] = torch.from_numpy(c), {0: batch}
    with _quiet():
        made = torch.onnx.export(
            torch_module(network),
            kwargs=inputs,
            dynamic_shapes=shapes,
            input_names=list(inputs),
            output_names=["y"],
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    file = io.BytesIO()
    made.save(file, external_data=False)
    return file.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's remarks on packages that are not there and on names of axes."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


ONNX = Format(
    write_onnx,
    "import onnxruntime\n\n"
    'net = onnxruntime.InferenceSession("{name}.onnx")\n'
    '(y,) = net.run(None, {{"x": x{pair}}})  # x: float32 [B, 3, H, W]',
    "Any number of images; needs onnxruntime.",
)
