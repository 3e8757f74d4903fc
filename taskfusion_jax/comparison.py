"""What the config of a comparison stands for: runs, and where they lie."""

from collections.abc import Iterable
from pathlib import Path

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError


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
