"""Trains, evaluates and reports a run; given the same folder again, it goes on where it stopped.

    python -m taskfusion_jax.main --config=configs/quickstart.py --workdir=runs/quickstart

Any field of the config is a flag: --config.seed=1 --config.stages.single.steps=200.
With --distributed, many processes started with this command do one run (docs/launch.md).
"""

from absl import flags

from taskfusion_jax import cli

_CONFIG = cli.define_config()
_WORKDIR = cli.define_workdir()
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Join the processes of the other hosts, or those of launch/local.py."
)


def main() -> int:
    """Returns the exit code: 0, or 128 + the signal that stopped the run."""
    config, workdir = cli.required(_CONFIG), cli.required(_WORKDIR)
    from taskfusion_jax import train  # slow to import, so --help and bad flags answer at once
    from taskfusion_jax.engine import distributed, peers

    if _DISTRIBUTED.value:
        cli.at_exit(peers.leave)
        distributed.initialize()
    return train.run(config, workdir)


if __name__ == "__main__":
    cli.run(main)
