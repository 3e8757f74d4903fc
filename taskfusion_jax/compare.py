"""Trains the runs of a comparison one after another and writes one table and its figures.

    python -m taskfusion_jax.compare --config=configs/takeda.py:small --workdir=runs/takeda

Runs that are done are skipped, so the same command goes on where it was stopped. Fields that all
runs share are flags: --config.base.data.size=64, --config.seeds="(0, 1, 2)".
"""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from taskfusion_jax import cli
from taskfusion_jax.comparison import Comparison
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
    from taskfusion_jax.engine.progress import make_console
    from taskfusion_jax.experiment import Experiment
    from taskfusion_jax.report.comparison import show_comparison, write_comparison

    compared, console = Comparison(config, workdir), make_console()
    for name in only or ():
        if name not in config.runs:
            raise UserError(f"--only: no run '{name}'{did_you_mean(name, config.runs)}")
    for (name, seed), options in compared.members.items():  # what is wrong with the last is told
        Experiment(options)
        compared.folder(name, seed).check(options)
    failed, trained = [], False
    wanted = [
        run for run in compared.members if not only or run[0] in (*only, *config.get("once", ()))
    ]
    for number, (name, seed) in enumerate(wanted, 1):
        title = f"{name}, seed {seed} ({number} of {len(wanted)})"
        if compared.is_done(name, seed):
            console.print(f"{title}: done")
            continue
        console.rule(title)
        try:
            if code := _train(compared, name, seed):
                return code
        except UserError as error:  # such as a loss that is no number: the others can go on
            console.print(f"{title} failed: {error}")
            failed.append(f"{name}, seed {seed}: {error}")
            continue
        write_comparison(compared)
        trained = True
    if not trained:
        write_comparison(compared)  # as this version writes it
    show_comparison(workdir, console)
    if failed:
        raise UserError("; ".join(failed))
    return 0


def _train(compared: Comparison, name: str, seed: int) -> int:
    import jax

    from taskfusion_jax import train

    try:
        return train.run(compared.members[name, seed], compared.folder(name, seed).path)
    finally:
        jax.clear_caches()  # programs of other networks are of no more use


def main() -> int:
    """Returns the exit code: 0, or 128 + the signal that stopped it."""
    return run(cli.required(_CONFIG), Path(cli.required(_WORKDIR)), _ONLY.value)


if __name__ == "__main__":
    cli.run(main)
