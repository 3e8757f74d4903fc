"""How many parameters a config has, in all and per task."""

from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stages import learnt_in, turns
from taskfusion_jax.tasks.combined import Combined


def count(config: ConfigDict) -> dict:
    """Counts parameters by shape alone: no array is made.

    Args:
      config: a config as `main` takes it.

    Returns:
      total, shared, trainable (in some stage), per_task (task -> its own numbers),
      mask_bits_per_task (the most that a task has), bytes (numbers as float32, masks as bits),
      bytes_per_task (what must be kept for each task, in the order in which they are learnt: what
      it alone has and its stage trains, and what all share where that stage changes it for this
      task only), percent_per_task (these bytes, of those of all that is shared), percent_of_heads
      (what of it is the output layer), and critic: the discriminator, which is needed in training
      only and not in total.
    """
    experiment = Experiment(config)
    params = experiment.shapes.params
    net = names.flatten(params["net"])
    method = experiment.method
    bits = [method.mask_bits(net, slot) for slot in range(method.slots)]
    total = names.size(net) - sum(bits)
    learnt = learnt_in(config)
    per_task = {
        task.name: method.per_task(net, task.slot)
        for task in experiment.tasks.values()
        if task.name in learnt and not isinstance(task, Combined)
    }
    masks = {
        k for k, x in net.items() if any(method.mask_bits({k: x}, s) for s in range(method.slots))
    }
    moving = {
        stage.name: set(names.split(params, stage.options.trainable, f"{stage.field}.trainable")[0])
        for stage in experiment.stages
    }
    moved = set().union(*moving.values())
    shared = total - sum(per_task.values())
    kept = _bytes_per_task(experiment, net, masks, moving)
    heads = _heads(experiment, net, kept)
    return {
        "total": total,
        "shared": shared,
        "trainable": sum(net[k].size for k in net.keys() - masks if f"net/{k}" in moved),
        "per_task": per_task,
        "mask_bits_per_task": max(bits),
        "bytes_per_task": kept,
        "percent_per_task": {name: 25 * n / max(shared, 1) for name, n in kept.items()},
        "percent_of_heads": {name: 100 * n / max(shared, 1) for name, n in heads.items()},
        "bytes": 4 * total + sum(-(-n // 8) for n in bits),
        "critic": names.size(params.get("critic", {})),
    }


def _heads(experiment: Experiment, net: dict, kept: dict[str, int]) -> dict[str, int]:
    """Task -> parameters of an output layer of its own."""
    head, sizes = experiment.method.backbone.head, {}
    for name in kept if head else ():
        own = f"task_{experiment.tasks[name].slot}/"
        sizes[name] = names.size(
            {k: x for k, x in net.items() if k.startswith(own) and f"/{head}/" in k}
        )
    return sizes


def _bytes_per_task(
    experiment: Experiment, net: dict, masks: set[str], moving: dict[str, set[str]]
) -> dict[str, int]:
    """Task -> what must be kept for it, in the order in which tasks are learnt."""
    method, stages = experiment.method, {stage.name: stage for stage in experiment.stages}
    kept = {}
    for name, stage in learnt_in(experiment.config).items():
        task = experiment.tasks[name]
        if isinstance(task, Combined):
            continue
        alone = {t.name for t in turns(stages[stage], experiment.tasks)} == {name}
        own = {k: x for k, x in net.items() if f"net/{k}" in moving[stage]}
        values = method.per_task({k: x for k, x in own.items() if k not in masks}, task.slot)
        if alone:  # what all share was changed for this task
            values += names.size(
                {k: x for k, x in own.items() if k not in masks and method.shares(k)}
            )
        kept[name] = 4 * values + -(-method.mask_bits(own, task.slot) // 8)
    return kept
