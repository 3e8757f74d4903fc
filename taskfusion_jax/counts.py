"""How many parameters a config has, in all and per task."""

import jax
from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.tasks.combined import Combined


def count(config: ConfigDict) -> dict:
    """Counts parameters by shape alone: no array is made.

    Args:
      config: a config as `main` takes it.

    Returns:
      total, shared, trainable (in some stage), per_task (task -> its own numbers),
      mask_bits_per_task (the most that a task has), bytes (numbers as float32, masks as bits), and
      critic: the discriminator, which is needed in training only and not in total.
    """
    experiment = Experiment(config)
    params = jax.eval_shape(lambda: experiment.init_params(jax.random.key(0)))
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
    return {
        "total": total,
        "shared": total - sum(per_task.values()),
        "trainable": sum(net[k].size for k in net.keys() - masks if f"net/{k}" in moving),
        "per_task": per_task,
        "mask_bits_per_task": max(bits),
        "bytes": 4 * total + sum(-(-n // 8) for n in bits),
        "critic": names.size(params.get("critic", {})),
    }
