"""Shows in a browser what a run has learnt: drop an image, move sliders, look.

    python -m taskfusion_jax.demo --workdir=runs/quickstart

prints an address of this machine when the page is up; Ctrl-C ends it. It needs Gradio
(`pip install -e ".[demo]"`), and neither it nor the page talks to any other machine. Files of
visitors lie in a temporary folder for about an hour, and are gone when it ends.

Images of any size are done as `predict` does them: filled up to sides of multiples of 32, in pieces
where they are larger than --tile. Each such size is compiled once, in seconds, when the first image
of it comes; those of the samples are compiled before the page is up. Nobody is asked for a
password: with another --host than the default everybody who can reach this machine can use it.
"""

import os
import sys
from pathlib import Path

from absl import flags

from taskfusion_jax import cli

_WORKDIR = cli.define_workdir()
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to serve at; 0.0.0.0 is all networks.")
_PORT = flags.DEFINE_integer("port", 7860, "Port; 0 for any that is free.", 0, 65535)
_MB = flags.DEFINE_integer("max_mb", 20, "Size of the largest upload, in MiB.", 1)
_PIXELS = flags.DEFINE_float("max_megapixels", 16.0, "Largest upload, in million pixels.", 0.001)
_TILE = flags.DEFINE_integer("tile", 2048, "Side of the largest piece done at once, in pixels.", 1)


def main() -> None:
    """Serves `--workdir` until it is interrupted."""
    workdir = Path(cli.required(_WORKDIR))
    # Slow to import, so --help and bad flags answer at once.
    from taskfusion_jax.demo.server import serve
    from taskfusion_jax.engine.progress import make_console

    cli.at_exit(_leave)
    console = make_console()
    limits = _MB.value, _PIXELS.value
    serve(workdir, _HOST.value, _PORT.value, *limits, _TILE.value, console)


def _leave(code: int, failed: bool) -> None:
    """At once: a picture that is still being made is for nobody, and threads that make one cannot
    be ended otherwise."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    cli.run(main)
