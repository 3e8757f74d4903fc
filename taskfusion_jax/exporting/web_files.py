"""Export as a static web page: the networks as ONNX, ONNX Runtime Web, and sliders."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from taskfusion_jax.data.photographs import pyramid
from taskfusion_jax.engine.files import write_bytes, write_text
from taskfusion_jax.errors import UserError
from taskfusion_jax.exporting.format import Format
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.exporting.onnx_files import write_onnx
from taskfusion_jax.inference.model import Model
from taskfusion_jax.inference.tiles import Tiling
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.class_maps import ClassScores, palette
from taskfusion_jax.tasks.colourisation import Colourisation, to_rgb, to_ycc

RUNTIME = "onnxruntime-web@1.30.0"
"""The npm package (MIT) of which two files go into the folder."""
_FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbb",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e",
}
"""Name -> the first half of its SHA-256."""
_PATIENCE_S = 300
_SAMPLE = "skimage/data/astronaut.png"
"""NASA's portrait of Eileen Collins, in the public domain."""


def write_web(model: Model, networks: Sequence[Network], output: Path, side: int) -> None:
    """Writes a folder that any web server serves, and ONNX's check; see `Format.write`.

    Raises:
      UserError: as `write_onnx`, or ONNX Runtime Web is not to be had.
    """
    runtime = _runtime()
    write_onnx(model, networks, output, side)
    for name, data in runtime.items():
        write_bytes(output / name, data)
    for asset in (resources.files("taskfusion_jax.exporting") / "web").iterdir():
        write_bytes(output / asset.name, asset.read_bytes())
    file = io.BytesIO()
    pyramid(_SAMPLE)[0].save(file, "PNG")
    write_bytes(output / "sample.png", file.getvalue())
    write_text(output / "page.json", json.dumps(_page(model, networks)))


def _page(model: Model, networks: Sequence[Network]) -> dict[str, Any]:
    """What the page's script has to know."""
    first = networks[0]
    tasks = model.tasks.values() if first.task is None else [n.task for n in networks]
    nets = {n.task.name: n.name for n in networks if n.task}
    return {
        "title": model.config.name,
        "slots": first.slots,
        # As `predict` fills images up: norms see the pixels that are added, too.
        "multiple": first.side if first.size else Tiling(first.side).step,
        "size": first.size,
        "tasks": [
            {"name": task.name, "active": task.active, "network": nets.get(task.name, first.name)}
            | _drawn(model, task)
            for task in tasks
        ],
        "presets": list(model.combinations.values()) if first.slots else [],
    }


def _drawn(model: Model, task: Task) -> dict[str, Any]:
    """How the page shows a task's output. Raises UserError where it cannot."""
    if task.labels:
        return {"kind": "labels", "classes": model.classes[task.name]}
    show = type(task).show
    if show is Task.show:
        return {"kind": "image"}
    if show is ClassScores.show:
        return {"kind": "classes", "colours": palette(task.classes).tolist()}
    if show is Colourisation.show:
        matrices = {"to_ycc": to_ycc(np.eye(3)), "to_rgb": to_rgb(np.eye(3))}
        return {"kind": "chroma", **{k: np.asarray(m).T.tolist() for k, m in matrices.items()}}
    raise UserError(
        f"--format=web: {task.name} is shown by {type(task).__name__}.show, which a browser cannot "
        "run: use --format=onnx"
    )


def _runtime() -> dict[str, bytes]:
    """The files of ONNX Runtime Web: from the cache, else fetched by npm and kept there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "taskfusion_jax" / RUNTIME
    found = {name: (kept / name).read_bytes() for name in _FILES if (kept / name).is_file()}
    if not _as_released(found):
        found = _fetched()
        for name, data in found.items():
            kept.mkdir(parents=True, exist_ok=True)
            write_bytes(kept / name, data)
    return found


def _as_released(found: Mapping[str, bytes]) -> bool:
    return {name: hashlib.sha256(data).hexdigest()[:32] for name, data in found.items()} == _FILES


def _fetched() -> dict[str, bytes]:
    npm = shutil.which("npm")
    if not npm:
        raise UserError(
            f"--format=web needs npm to fetch {RUNTIME}, but it is not installed: install Node.js"
        )
    with tempfile.TemporaryDirectory() as folder:
        line = [npm, "pack", "--silent", RUNTIME]
        options = {"cwd": folder, "capture_output": True, "text": True, "timeout": _PATIENCE_S}
        try:
            done = subprocess.run(line, **options)
            reason = (done.stderr.strip().splitlines() or ["no file came"])[0]
        except subprocess.TimeoutExpired:
            reason = f"nothing came in {_PATIENCE_S} s"
        packed = sorted(Path(folder).glob("*.tgz"))
        if not packed:
            raise UserError(
                f"--format=web: npm cannot fetch {RUNTIME} ({reason}): check the network"
            )
        with tarfile.open(packed[0]) as tar:
            found = {name: tar.extractfile(f"package/dist/{name}").read() for name in _FILES}
    if not _as_released(found):
        raise UserError(f"--format=web: npm gave another {RUNTIME} than the released one")
    return found


WEB = Format(
    write_web,
    "# python -m http.server --bind 127.0.0.1 8000   (in this folder, then open its address)\n"
    "import onnxruntime\n\n"
    'net = onnxruntime.InferenceSession("{name}.onnx")\n'
    '(y,) = net.run(None, {{"x": x{pair}}})  # x: float32 [B, 3, H, W]',
    f"Everything runs in the visitor's browser. Contains {RUNTIME.replace('@', ' ')} (MIT, "
    "Microsoft); the sample is NASA's portrait of Eileen Collins (public domain).",
)
