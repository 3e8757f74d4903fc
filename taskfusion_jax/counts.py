"""How many parameters a config has, in all and per task."""

from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.methods.base import Method
from taskfusion_jax.stages import turns
from taskfusion_jax.tasks.combined import Combined


def count(config: ConfigDict) -> dict:
    """Counts parameters by shape alone: no array is made.

    Args:
      config: a config as `main` takes it.

    Returns:
      total, shared, trainable (in some stage), per_task (task -> its own numbers),
      mask_bits_per_task (the most that a task has), bytes (numbers as float32, masks as bits),
      bytes_per_task (of what a task alone has and its stages train), and critic: the discriminator,
      which is needed in training only and not in total.
    """
    experiment = Experiment(config)
    params = experiment.shapes.params
    net = names.flatten(params["net"])
    method = experiment.method
    bits = [method.mask_bits(net, slot) for slot in range(method.slots)]
    total = names.size(net) - sum(bits)
    single = [t for t in experiment.tasks.values() if not isinstance(t, Combined)]
    slots = {task.name: task.active[0] if task.active else 0 for task in single}
    per_task = {name: method.per_task(net, slot) for name, slot in slots.items()}
    masks = {
        k for k, x in net.items() if any(method.mask_bits({k: x}, s) for s in range(method.slots))
    }
    moving = set()
    for stage in experiment.stages:
        field = f"{stage.field}.trainable"
        moving |= set(names.split(params, stage.options.trainable, field)[0])
    taught = {name: set() for name in per_task}
    for stage in experiment.stages:
        own = names.split(params, stage.options.trainable, f"{stage.field}.trainable")[0]
        for task in turns(stage, experiment.tasks):
            if task.name in taught:
                taught[task.name] |= {k.removeprefix("net/") for k in own}
    return {
        "total": total,
        "shared": total - sum(per_task.values()),
        "trainable": sum(net[k].size for k in net.keys() - masks if f"net/{k}" in moving),
        "per_task": per_task,
        "mask_bits_per_task": max(bits),
        "bytes_per_task": {
            name: _bytes(method, {k: x for k, x in net.items() if k in moved}, slots[name])
            for name, moved in taught.items()
        },
        "bytes": 4 * total + sum(-(-n // 8) for n in bits),
        "critic": names.size(params.get("critic", {})),
    }


def _bytes(method: Method, shapes: dict, slot: int) -> int:
    return 4 * method.per_task(shapes, slot) + -(-method.mask_bits(shapes, slot) // 8)
