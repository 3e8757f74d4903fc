"""Prints how many parameters a config has, in all and per task; needs no data.

python -m taskfusion_jax.describe --config=configs/film_voc.py [--json]
"""

import json

from absl import flags

from taskfusion_jax import cli

_CONFIG = cli.define_config()
_JSON = flags.DEFINE_bool("json", False, "Print JSON for machines instead of a table.")


def describe(config) -> dict:
    """Counts parameters by shape alone: no array is made.

    Args:
      config: a config as `main` takes it.

    Returns:
      total, shared, trainable (numbers that some stage moves), per_task (task -> its own numbers),
      mask_bits_per_task (the most that a task has), bytes (numbers as float32, masks as bits), and
      critic: the discriminator, which is needed in training only and not in total.
    """
    import jax

    from taskfusion_jax.engine import names
    from taskfusion_jax.experiment import Experiment
    from taskfusion_jax.tasks.combined import Combined

    experiment = Experiment(config)
    params = jax.eval_shape(lambda: experiment.init_params(jax.random.key(0)))
    net = names.flatten(params["net"])
    method = experiment.method
    bits = [method.masks(net, slot) for slot in range(method.slots)]
    total = names.size(net) - sum(bits)
    single = [t for t in experiment.tasks.values() if not isinstance(t, Combined)]
    slots = {task.name: task.active[0] if task.active else 0 for task in single}
    per_task = {name: method.per_task(net, slot) for name, slot in slots.items()}
    moving = set()
    for stage in experiment.stages:
        field = f"{stage.field}.trainable"
        moving |= set(names.split(params, stage.options.trainable, field)[0])
    flat = names.flatten(params)
    return {
        "total": total,
        "shared": total - sum(per_task.values()),
        "trainable": sum(flat[name].size for name in moving if name.startswith("net/")),
        "per_task": per_task,
        "mask_bits_per_task": max(bits),
        "bytes": 4 * total + sum(-(-count // 8) for count in bits),
        "critic": names.size(params.get("critic", {})),
    }


def main() -> None:
    """Prints the counts."""
    counts = describe(cli.required(_CONFIG))
    if _JSON.value:
        print(json.dumps(counts))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("", "parameters", "% of all", box=None)
    rows = {k: counts[k] for k in ("total", "shared", "trainable")}
    rows |= {f"for {name} alone": n for name, n in counts["per_task"].items()}
    for name, n in rows.items():
        table.add_row(name, f"{n:,}", f"{100 * n / counts['total']:.3f}")
    table.columns[1].justify = table.columns[2].justify = "right"
    console = Console()
    console.print(table)
    if counts["mask_bits_per_task"]:
        bits = f"{counts['mask_bits_per_task']:,}"
        console.print(f"Beside them a mask of {bits} bits for each task but the base's.")
    size = f"{counts['bytes'] / 2**20:.1f} MiB as float32"
    console.print(size + (", masks as bits." if counts["mask_bits_per_task"] else "."))
    if counts["critic"]:
        console.print(f"Training adds a discriminator of {counts['critic']:,} parameters.")


if __name__ == "__main__":
    cli.run(main)
