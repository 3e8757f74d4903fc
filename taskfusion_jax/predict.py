"""Does with your images what a run has learnt.

    python -m taskfusion_jax.predict --workdir=runs/quickstart --list_tasks
    python -m taskfusion_jax.predict --workdir=runs/quickstart --input=photos --output=painted \\
        --tasks=restoration=1,style_1=0.6

A folder is done with all folders below it. Images are PNG, with the transparency of the input;
labels go to `labels.csv`. `--sweep=style_1=0:1:9` makes a strip of nine strengths side by side,
with the other tasks as `--tasks` says. A file that cannot be read is told at the end, the others
are done, and the exit code is 3.
"""

import sys
from pathlib import Path

from absl import flags

from taskfusion_jax import cli
from taskfusion_jax.errors import UserError

SOME_FAILED = 3
"""Exit code where some files could not be done."""

_WORKDIR = cli.define_workdir()
_INPUT = flags.DEFINE_string("input", None, "An image, or a folder of images.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the results; made if absent.")
_TASKS = flags.DEFINE_string("tasks", "", "TASK=STRENGTH,... from 0 to 1; TASK alone means 1.")
_SWEEP = flags.DEFINE_string("sweep", "", "TASK=FROM:TO:STEPS: a strip of strengths side by side.")
_LIST = flags.DEFINE_bool("list_tasks", False, "Show what the run has learnt, and do nothing.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace results that are there already.")
_TILE = flags.DEFINE_integer(
    "tile", 2048, "Side of the largest piece done at once, in pixels.", lower_bound=1
)
_BATCH = flags.DEFINE_integer("batch", 8, "Pieces done at once; fewer large ones.", lower_bound=1)


def main() -> int:
    """Returns 0, or 3 where some files failed."""
    workdir = Path(cli.required(_WORKDIR))
    # Slow to import, so --help and bad flags answer at once.
    from taskfusion_jax.engine.progress import make_console
    from taskfusion_jax.inference.asked import parse_strengths, parse_sweep, settings
    from taskfusion_jax.inference.files import find_images
    from taskfusion_jax.inference.model import load
    from taskfusion_jax.inference.predictor import Predictor, list_tasks, say

    console = make_console()
    if _LIST.value:
        list_tasks(load(workdir), console)
        return 0
    given, output = Path(cli.required(_INPUT)), Path(cli.required(_OUTPUT))
    strengths = parse_strengths(_TASKS.value)
    sweep = parse_sweep(_SWEEP.value) if _SWEEP.value else None
    wanted = list(settings(strengths, sweep))
    find_images(given, output)  # before the seconds that a network takes
    model = load(workdir, tile=_TILE.value, batch=_BATCH.value)
    for one in wanted:
        model.vector(one)
    if sweep and model.tasks[sweep[0]].labels:
        raise UserError(f"--sweep={_SWEEP.value}: {sweep[0]} makes no image")
    predictor = Predictor(model, wanted, output, _OVERWRITE.value)
    done = predictor(given, console)
    for row in predictor.labels:
        likely = zip(row[1::2], row[2::2], strict=True)
        say(console, f"{row[0]}: {', '.join(map(' '.join, likely))}")
    say(console, f"{done} done, in {output}" + _and_failed(len(predictor.failed)))
    for line in predictor.failed:
        print(f"error: {line}", file=sys.stderr)
    return SOME_FAILED if predictor.failed else 0


def _and_failed(count: int) -> str:
    return f"; {count} failed, see below" if count else ""


if __name__ == "__main__":
    cli.run(main)
