"""What the config of a comparison stands for: runs, their sizes, and where they lie."""

import functools
from collections.abc import Iterable
from pathlib import Path

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.workdir import Workdir

OF_RUN = "run:"
"""What `config.vit.weights` begins with where another run of the comparison leaves them."""


class Comparison:
    """Runs that belong side by side, and their folders below one.

    Attributes:
      config: see `configs/compared.py`.
      path: folder of the comparison.
      members: (name, seed) -> the config of that run, seed by seed.
    """

    def __init__(self, config: ConfigDict, path: Path):
        """Raises UserError: the config is none of a comparison, or a run's makes no sense."""
        self.config, self.path, self.members = config, path, members(config, path)

    def folder(self, name: str, seed: int) -> Workdir:
        """Where a run lies."""
        return Workdir(folder_of(self.path, name, seed))

    def is_done(self, name: str, seed: int) -> bool:
        """Whether a run has ended. Raises UserError where another config lies in its place."""
        return self.folder(name, seed).is_done(self.members[name, seed])

    def done(self) -> dict[str, list[int]]:
        """name -> seeds of the runs that are done."""
        seeds: dict[str, list[int]] = {}
        for name, seed in self.members:
            if self.is_done(name, seed):
                seeds.setdefault(name, []).append(seed)
        return seeds

    @functools.cache  # noqa: B019 (lives as long as the command)
    def sizes(self, name: str) -> dict:
        """See `counts.count`: the same for every seed."""
        from taskfusion_jax.counts import count

        return count(self.members[name, self.config.seeds[0]])


def members(config: ConfigDict, path: Path = Path()) -> dict[tuple[str, int], ConfigDict]:
    """(name, seed) -> the config of that run, seed by seed; path: of the comparison's folder.

    Runs of `config.once` come first, with the first seed only, and only where others begin with
    the network that they leave: `config.vit.weights=run:NAME`.

    Raises:
      UserError: this is no comparison, or a run has a field that its base lacks.
    """
    if not all(key in config for key in ("base", "runs", "seeds")):
        raise UserError(
            "this config is one run: train it with taskfusion_jax.main, or leave out the run's "
            "name after the colon to compare all"
        )
    made, once, linked = {}, config.get("once", ()), set()
    for seed in config.seeds:
        names = in_order(config, config.runs)
        for name in sorted(names, key=lambda name: name not in once):
            if name in once and seed != config.seeds[0]:
                continue
            run = config.base.copy_and_resolve_references().lock()
            for named in (run.tasks, run.combined, run.stages):  # a run may have more of these
                named.unlock()
            try:
                run.update(config.runs[name])
            except (KeyError, TypeError) as error:
                reason = error.args[0].partition(". ")[0]
                raise UserError(f"config.runs.{name}: {reason}") from error
            run.name, run.seed = f"{config.name}_{name}", seed
            if run.vit.weights.startswith(OF_RUN):
                first = run.vit.weights.removeprefix(OF_RUN)
                if first not in once:
                    raise UserError(
                        f"config.runs.{name}.vit.weights={run.vit.weights}: config.once has no run "
                        f"'{first}'{did_you_mean(first, once)}"
                    )
                run.vit.weights = str(folder_of(path, first, config.seeds[0]).absolute())
                linked.add(first)
            made[name, seed] = run
    return {key: run for key, run in made.items() if key[0] not in once or key[0] in linked}


def folder_of(path: Path, name: str, seed: int) -> Path:
    """Where a run of the comparison in `path` lies."""
    return path / "runs" / f"{name}_seed{seed}"


def in_order(config: ConfigDict, names: Iterable[str]) -> list[str]:
    """The names of runs as the tables list them (a ConfigDict sorts its keys), then the others."""
    listed = dict.fromkeys(name for columns in config.tables.values() for name in columns)
    return [n for n in listed if n in names] + [n for n in names if n not in listed]
