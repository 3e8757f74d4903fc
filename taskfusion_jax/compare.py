"""Trains the runs of a comparison one after another and writes one table and its figures.

    python -m taskfusion_jax.compare --config=configs/takeda.py:small --workdir=runs/takeda

Runs that are done are skipped, so the same command goes on where it was stopped. Fields that all
runs share are flags: --config.base.data.size=64, --config.seeds="(0, 1, 2)".
"""

from collections.abc import Iterable
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from taskfusion_jax import cli
from taskfusion_jax.errors import UserError, did_you_mean

_CONFIG = cli.define_config()
_WORKDIR = cli.define_workdir()
_ONLY = flags.DEFINE_list("only", None, "Train these runs only; the table shows all that are done.")


def members(config: ConfigDict) -> dict[tuple[str, int], ConfigDict]:
    """(name, seed) -> the config of that run, seed by seed.

    Args:
      config: a comparison, see `configs/compared.py`.

    Raises:
      UserError: it is none, or a run has a field that its base lacks.
    """
    if not all(key in config for key in ("base", "runs", "seeds")):
        raise UserError(
            "this config is one run: train it with taskfusion_jax.main, or leave out the run's "
            "name after the colon to compare all"
        )
    made = {}
    for seed in config.seeds:
        for name in in_order(config, config.runs):
            run = config.base.copy_and_resolve_references().lock()
            for named in (run.tasks, run.combined, run.stages):  # a run may have more of these
                named.unlock()
            try:
                run.update(config.runs[name])
            except (KeyError, TypeError) as error:
                reason = error.args[0].partition(". ")[0]
                raise UserError(f"config.runs.{name}: {reason}") from error
            run.name, run.seed = f"{config.name}_{name}", seed
            made[name, seed] = run
    return made


def in_order(config: ConfigDict, names: Iterable[str]) -> list[str]:
    """The names of runs as the tables list them (a ConfigDict sorts its keys), then the others."""
    listed = dict.fromkeys(name for columns in config.tables.values() for name in columns)
    return [n for n in listed if n in names] + [n for n in names if n not in listed]


def folder_of(workdir: Path, name: str, seed: int) -> Path:
    """Where a run of a comparison lies."""
    return workdir / "runs" / f"{name}_seed{seed}"


def run(config: ConfigDict, workdir: Path, only: list[str] | None) -> int:
    """Trains what is not done yet; after every run writes the table of all that are.

    Args:
      config: a comparison, see `configs/compared.py`.
      workdir: folder of the comparison.
      only: names of the runs to train; None = all.

    Returns:
      0, or 128 + the signal that stopped it.

    Raises:
      UserError: as `train.run`; an unknown name.
    """
    import jax

    from taskfusion_jax import train
    from taskfusion_jax.engine.progress import make_console
    from taskfusion_jax.report.comparison import show_comparison, write_comparison
    from taskfusion_jax.workdir import Workdir

    runs, console = members(config), make_console()
    for name in only or ():
        if name not in config.runs:
            raise UserError(f"--only: no run '{name}'{did_you_mean(name, config.runs)}")
    for number, ((name, seed), options) in enumerate(runs.items(), 1):
        if only and name not in only:
            continue
        folder = folder_of(workdir, name, seed)
        title = f"{name}, seed {seed} ({number} of {len(runs)})"
        if Workdir(folder).is_done(options):
            console.print(f"{title}: done")
            continue
        console.rule(title)
        if code := train.run(options, folder):
            return code
        jax.clear_caches()  # programs of other networks are of no more use
        write_comparison(config, workdir)
    write_comparison(config, workdir)
    show_comparison(workdir, console)
    return 0


def main() -> int:
    """Returns the exit code: 0, or 128 + the signal that stopped it."""
    return run(cli.required(_CONFIG), Path(cli.required(_WORKDIR)), _ONLY.value)


if __name__ == "__main__":
    cli.run(main)
