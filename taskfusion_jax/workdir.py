"""The folder of a run: what lies where, and whether it belongs to this config."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.engine.files import read_json, write_json
from taskfusion_jax.errors import UserError

_MAY_CHANGE = (
    "evaluate.", "checkpoint.", "log_every", "data.workers", "data.threads", "data.prefetch",
    "mesh.", "sharding", "accumulate", "network.remat", "network.weights",
    "unet.weights", "resnet.weights", "vit.weights",
)  # fmt: skip
"""Fields that change what is learnt by rounding at most, or not once it has begun (weights): a run
may go on with other values."""


class Workdir:
    """Paths of `config.json`, `checkpoints/`, `metrics.jsonl`, `evaluations/`, `results.json`,
    `figures/` and `report.html` below one folder."""

    def __init__(self, path: Path):
        """path: need not exist yet."""
        self.path = path
        self.results = path / "results.json"
        self.report = path / "report.html"
        self.figures = path / "figures"
        self.tasks = path / "tasks"
        self._config = path / "config.json"
        self._evaluations = path / "evaluations"

    def claim(self, config: ConfigDict) -> None:
        """Makes the folder and writes `config.json`, or checks that it holds the same config.

        Raises:
          UserError: the folder belongs to a run with another config, or cannot be made.
        """
        self.check(config)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self._config, json.loads(config.to_json()))
        except OSError as error:
            raise UserError(f"--workdir={self.path} cannot be written: {error}") from error

    def check(self, config: ConfigDict) -> None:
        """Raises UserError where the folder belongs to a run with another config."""
        if self._config.exists():
            before, now = _flat(self._read_config()), _flat(json.loads(config.to_json()))
            changed = [
                f"config.{name}: {before.get(name)} -> {now.get(name)}"
                for name in sorted(before.keys() | now.keys())
                if before.get(name) != now.get(name)
                and not re.sub(r"^data_of\.[^.]+", "data", name).startswith(_MAY_CHANGE)
            ]
            if changed:
                more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
                raise UserError(
                    f"{self.path} holds a run with another config ({'; '.join(changed[:4])}{more})"
                    "; to go on with it give its own config, to start anew give another --workdir"
                )

    def is_done(self, config: ConfigDict) -> bool:
        """Whether a run with this config has ended here. Raises UserError for another config."""
        if not (self.results.exists() and self.report.exists()):  # the report comes last
            return False
        self.check(config)
        steps = sum(config.stages[name].steps for name in config.schedule)
        return read_json(self.results)["steps"] == steps

    def abandon(self) -> None:
        """Takes back what `claim` and a start without any checkpoint left in the folder."""
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("config.json", "metrics.jsonl"):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def config(self) -> ConfigDict:
        """The config of the run. Raises UserError where there is none."""
        if not self._config.exists():
            raise UserError(f"{self.path}: no run here (no config.json), check --workdir")
        return ConfigDict(_tuples(self._read_config()))

    def _read_config(self) -> dict:
        try:
            return read_json(self._config)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._config} cannot be read ({error}): give another --workdir"
            ) from error

    def save_evaluation(self, stage: str, values: dict, pictures: dict[str, np.ndarray]) -> None:
        """Keeps what was measured after a stage; its `.json` appears last and marks it whole."""
        self._evaluations.mkdir(exist_ok=True)
        with (self._evaluations / f".{stage}.npz.partial").open("wb") as file:
            np.savez_compressed(file, **pictures)
        Path(file.name).replace(self._evaluations / f"{stage}.npz")
        write_json(self._evaluations / f"{stage}.json", values)

    def measured(self, stage: str) -> dict | None:
        """The values as saved after the stage, or None."""
        path = self._evaluations / f"{stage}.json"
        return read_json(path) if path.exists() else None

    def evaluation(self, stage: str) -> tuple[dict, dict[str, np.ndarray]] | None:
        """(values, pictures) as saved after the stage, or None."""
        if (values := self.measured(stage)) is None:
            return None
        with np.load(self._evaluations / f"{stage}.npz", allow_pickle=False) as pictures:
            return values, dict(pictures)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    items = (_flat(v, f"{prefix}.{k}" if prefix else k) for k, v in tree.items())
    return {k: v for item in items for k, v in item.items()}


def _tuples(tree: Any) -> Any:
    """JSON knows no tuples; configs hold nothing else."""
    if isinstance(tree, dict):
        return {k: _tuples(v) for k, v in tree.items()}
    return tuple(map(_tuples, tree)) if isinstance(tree, list) else tree
