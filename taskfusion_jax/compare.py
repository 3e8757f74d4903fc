"""Trains the runs of a comparison one after another and writes one table and its figures.

    python -m taskfusion_jax.compare --config=configs/takeda.py:small --workdir=runs/takeda

Runs that are done are skipped, so the same command goes on where it was stopped. Fields that all
runs share are flags: --config.base.data.size=64, --config.seeds="(0, 1, 2)".
"""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from taskfusion_jax import cli
from taskfusion_jax.comparison import folder_of, members
from taskfusion_jax.errors import UserError, did_you_mean

_CONFIG = cli.define_config()
_WORKDIR = cli.define_workdir()
_ONLY = flags.DEFINE_list("only", None, "Train these runs only; the table shows all that are done.")


def run(config: ConfigDict, workdir: Path, only: list[str] | None) -> int:
    """Trains what is not done yet; after every run writes the table of all that are.

    Args:
      config: a comparison, see `configs/compared.py`.
      workdir: folder of the comparison.
      only: names of the runs to train; None = all.

    Returns:
      0, or 128 + the signal that stopped it.

    Raises:
      UserError: a config that makes no sense, before any run; what ended runs, after all others.
    """
    import jax

    from taskfusion_jax import train
    from taskfusion_jax.engine.progress import make_console
    from taskfusion_jax.experiment import Experiment
    from taskfusion_jax.report.comparison import show_comparison, write_comparison
    from taskfusion_jax.workdir import Workdir

    runs, console = members(config), make_console()
    for name in only or ():
        if name not in config.runs:
            raise UserError(f"--only: no run '{name}'{did_you_mean(name, config.runs)}")
    for (name, seed), options in runs.items():  # what is wrong with the last is told at once
        Experiment(options)
        Workdir(folder_of(workdir, name, seed)).check(options)
    failed = []
    for number, ((name, seed), options) in enumerate(runs.items(), 1):
        if only and name not in only:
            continue
        folder = folder_of(workdir, name, seed)
        title = f"{name}, seed {seed} ({number} of {len(runs)})"
        if Workdir(folder).is_done(options):
            console.print(f"{title}: done")
            continue
        console.rule(title)
        try:
            if code := train.run(options, folder):
                return code
        except UserError as error:  # such as a loss that is no number: the others can go on
            console.print(f"{title} failed: {error}")
            failed.append(f"{name}, seed {seed}: {error}")
            continue
        jax.clear_caches()  # programs of other networks are of no more use
        write_comparison(config, workdir)
    write_comparison(config, workdir)
    show_comparison(workdir, console)
    if failed:
        raise UserError("; ".join(failed))
    return 0


def main() -> int:
    """Returns the exit code: 0, or 128 + the signal that stopped it."""
    return run(cli.required(_CONFIG), Path(cli.required(_WORKDIR)), _ONLY.value)


if __name__ == "__main__":
    cli.run(main)
