"""Puts the page of a run up and takes it down again."""

import contextlib
import math
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from taskfusion_jax.demo.samples import Sample, samples
from taskfusion_jax.demo.service import MB, Service
from taskfusion_jax.engine.progress import Bar
from taskfusion_jax.errors import UserError
from taskfusion_jax.inference.model import load


def serve(
    workdir: Path,
    host: str,
    port: int,
    max_mb: int,
    max_megapixels: float,
    tile: int,
    console: Console,
) -> None:
    """Serves the page until it is interrupted; then the process should end, as Gradio's threads
    would wait for pages that stay open.

    Args:
      workdir: folder of the run.
      host, port: where; port 0 takes any that is free.
      max_mb, max_megapixels: of the largest upload, in MiB and 1e6 pixels.
      tile: side of the largest piece done at once, in pixels.
      console: where the address is printed.

    Raises:
      UserError: no Gradio, no run, or nothing can be served there.
    """
    with _temporary_folder() as name:
        folder = Path(name)
        _prepare(folder / "cache")
        port = free_port(host, port)
        # One piece at a time: one program for each size, and nobody else to make a batch with.
        service = Service(load(workdir, tile=tile, batch=1), max_mb, max_megapixels)
        found = samples(service.model)
        _warm_up(service, found, console)
        from taskfusion_jax.demo import page

        blocks = page.build(service, found, folder)
        _launch(blocks, host, port, max_mb, page.look())
        console.print(f"{blocks.local_url} (Ctrl-C ends it)")
        _wait()


def _temporary_folder() -> tempfile.TemporaryDirectory:
    """Gone in the end, even while a visitor's file is being written."""
    return tempfile.TemporaryDirectory(prefix="taskfusion_demo_", ignore_cleanup_errors=True)


def _warm_up(service: Service, found: Sequence[Sample], console: Console) -> None:
    runs = service.warm_ups(sample.image for sample in found)
    console.print(f"compiling: {len(runs)} runs of samples and tasks")
    with Bar(console, "compiling", 0, len(runs), 1) as bar:
        for done, run in enumerate(runs, 1):
            service.do(*run)
            bar.update(done, math.nan)


def _prepare(cache: Path) -> None:
    """Before Gradio is imported: it must talk to nobody, and write nowhere else.

    Raises:
      UserError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # it asks its own page whether it is up
    cache.mkdir()
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(f"the page needs Gradio ({error}): pip install -e '.[demo]'") from error


def free_port(host: str, port: int) -> int:
    """The port, or any that is free where it is 0. Raises UserError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            return trial.getsockname()[1]
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"--host={host} --port={port}: {reason}; give another --port, or 0 for any"
        ) from error


def _launch(blocks, host: str, port: int, max_mb: int, look: dict) -> None:
    try:
        blocks.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            inbrowser=False,
            show_error=False,
            max_file_size=max_mb * MB,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            **look,
        )
    except OSError as error:
        raise UserError(f"--port={port} was taken meanwhile ({error}): give another") from error


def _wait() -> None:
    """Until Ctrl-C or SIGTERM."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    signal.signal(signal.SIGTERM, before)
