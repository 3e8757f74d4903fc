"""Measures images/s of input pipeline, forward and training step; compile time stands apart.

python -m taskfusion_jax.benchmark --config=configs/film_voc.py --against=torch --batch=4
"""

import json
import os

from absl import flags

from taskfusion_jax import cli

# Two frameworks share one GPU here; by default JAX takes most of its memory at once.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

_CONFIG = cli.define_config()
_AGAINST = flags.DEFINE_enum("against", None, ["torch"], "Measure the same work there too.")
_BATCH = flags.DEFINE_integer(
    "batch", 16, "Images per call; the full training step takes its stage's rows.", lower_bound=1
)
_REPEATS = flags.DEFINE_integer("repeats", 7, "Rounds of interleaved blocks.", lower_bound=1)
_ONLY = flags.DEFINE_list("only", None, "Works to measure: pipeline,forward,train_step, ...")
_STAGE = flags.DEFINE_string("stage", None, "Stage of the training step; default: the first.")
_JSON = flags.DEFINE_bool("json", False, "Print flat JSON for machines instead of a table.")


def main() -> None:
    """Measures, then prints."""
    from rich.console import Console

    from taskfusion_jax.benchmark import report
    from taskfusion_jax.benchmark.run import Options, benchmark
    from taskfusion_jax.engine.progress import make_console

    options = Options(
        against=_AGAINST.value,
        batch=_BATCH.value,
        repeats=_REPEATS.value,
        only=tuple(_ONLY.value) if _ONLY.value else None,
        stage=_STAGE.value,
    )
    measured = benchmark(cli.required(_CONFIG), options, Console(stderr=True))
    if _JSON.value:
        print(json.dumps(report.flat(measured)))
    else:
        report.show(measured, make_console())


if __name__ == "__main__":
    cli.run(main)
