"""One ViT, many classification tasks one after another: what each way to adapt it costs and gives.

    python -m taskfusion_jax.compare --config=configs/vit_continual.py:small --workdir=runs/vit

pretrains a small ViT on ten kinds of embedded shapes, then teaches it three further tasks by each
way, with two seeds, on two CPU cores in about an hour. In full a ViT-B/16 learns CIFAR-100 in
ten steps; it wants that data set (TFDS) and weights, and was never run here:

    --config.base.vit.weights=B_16.npz --config.base.data.tfds.data_dir=DATA

Streams, named after the colon: `cifar100` (10 steps of 10 classes), `cifar10` and `fashion_mnist`
(5 steps of 2), `sets` (half of CIFAR-10, Fashion-MNIST, MNIST; the other half pretrains),
`embedded` (two halves of the other shapes, then digits). Data from files in place of TFDS:

    --config=configs/vit_continual.py:sets,small
    --config.base.data_of.cifar.source=npz --config.base.data_of.cifar.npz.train=TRAIN.npz ...
    --config.base.data_of.fashion.source=idx --config.base.data_of.fashion.idx.dir=FOLDER

One run alone, and its counts:

    python -m taskfusion_jax.describe --config=configs/vit_continual.py:prefixes --json
"""

import math

from configs import common, compared

PRETRAIN = "pretrain"
PARTS = {
    "head": (),
    "prompts": ("prompts",),
    "deep_prompts": ("deep_prompts",),
    "prefixes": ("prefixes",),
    "rkr": ("rkr",),
    "lora": ("lora",),
    "adapters": ("adapters",),
    "norm_film": ("norm_film",),
    "mask": ("mask",),
    "prefixes_rkr": ("prefixes", "rkr"),
    "mask_rkr": ("mask", "rkr"),
}
POOLS = ("l2p", "dualprompt")
WHOLE = ("finetune", "replay")
RUNS = (*PARTS, *POOLS, *WHOLE)
TABLES = {"Small parts": RUNS[:8], "The others": ("head", *RUNS[8:])}


def get_config(arg: str = ""):
    """arg, joined by commas: a stream; a run's name for its config alone; small; tiny."""
    options = common.parse(arg, (PRETRAIN, *RUNS, *STREAMS, "small", "tiny"))
    streams = [name for name in STREAMS if name in options]
    if len(streams) > 1:
        raise ValueError(f"two streams, {' and '.join(streams)}: give one")
    small = bool(options & {"small", "tiny"})
    stream = streams[0] if streams else "embedded" if small else "cifar100"
    config = base(stream, small)
    if "tiny" in options:
        common.tiny(config)
        config.evaluate.frechet_layers = ()  # of what is no image they mean nothing
    runs = {PRETRAIN: pretrain(config), **{name: run(config, name) for name in RUNS}}
    made = compared.comparison(config, runs, TABLES, options)
    if "base" in made:
        made.once = (PRETRAIN,)
        made.seeds = (0, 1) if small else (0,)
        made.shown = ("accuracy", "average_accuracy", "forgetting", "forward_transfer")
        ways = ("joint", "by_confidence", "by_keys", "by_prototypes")
        made.shown += tuple(f"accuracy_{way}" for way in ways)
    return made


def base(stream: str, small: bool):
    """What all runs share; stream: a key of `STREAMS`."""
    config = common.get_config()
    config.name = "vit_continual"
    config.method, config.backbone = "vit_parts", "vit"
    config.vit.weights = f"run:{PRETRAIN}"
    config.combined = {}
    config.data.update({"size": 224, "scale": 0.8, "source": "tfds"})
    config.data.tfds.update({"mask_key": "", "label_key": "label"})
    config.evaluate.update({"class_incremental": True, "frechet_layers": (), "images": 1000})
    config.optimiser.clip_norm = 1.0
    # A mask's values have far to go; at this rate they cross the threshold.
    config.optimiser.lr_rules = ((".*/mask/.*", 0.5),)
    del config.tasks
    tasks = {PRETRAIN: {}, **STREAMS[stream](config)}
    config.tasks, config.slots = {}, len(tasks) + 1
    for slot, (name, changes) in enumerate(tasks.items(), 1):
        config.tasks[name] = {"kind": "classification", "slot": slot}
        config.tasks[name].update({"labels": changes.pop("labels", 10)})
        config.tasks[name]["loss"] = {"label_cross_entropy": 1.0}
        config.data_of[name] = common.following(config.data)
        config.data_of[name].update(changes)
        config.stages[name] = common.stage(
            *(2000, {name: 64}, "M1", 3e-3), schedule="cosine", warmup=20
        )
    config.schedule = tuple(tasks)[1:]
    _pretraining(config, stream)
    if small:
        _small(config)
    return config


def _small(config):
    """A narrow ViT on 32x32 images, parts of about 3 % of it each."""
    config.vit.variant = "micro/4"
    config.data.update({"size": 32, "threads": 1})
    config.parts.prefixes.length, config.parts.deep_prompts.length = 12, 24
    config.parts.prompts.length, config.parts.rkr.rank = 24, 1
    config.parts.lora.rank, config.parts.adapters.width = 6, 5
    config.pool.update({"size": 10, "length": 4, "top": 4})
    config.dualprompt.update({"general_blocks": (0, 1), "expert_blocks": (2, 3)})
    for name, stage in config.stages.items():
        steps = 1500 if name == PRETRAIN else 150
        stage.update({"steps": steps, "rows": {name: 32}})
    # So little is learnt in so few steps that images are not made harder.
    config.data_of[PRETRAIN].update({"augment": 0, "mixup": 0.0})
    config.evaluate.update({"images": 256, "batch": 64})
    config.checkpoint.every, config.log_every = 500, 20


def _pretraining(config, stream: str):
    """On labels of its own, with random augmentation and mixing."""
    config.data_of[PRETRAIN].update({"augment": 2, "augment_strength": 5, "mixup": 0.2})
    config.stages[PRETRAIN].update({"lr": 1e-3, "warmup": 100})
    changes = _PRETRAINED_ON[stream]
    config.tasks[PRETRAIN].labels = changes["labels"]
    config.data_of[PRETRAIN].update({k: x for k, x in changes.items() if k != "labels"})


def pretrain(config) -> dict:
    """The run that the others begin with: the whole network moves, without any part."""
    schedule = {"schedule": (PRETRAIN,), "parts": {"use": (), "base": (PRETRAIN,)}}
    return {**schedule, "vit": {"weights": ""}, "evaluate": {"class_incremental": False}}


def run(config, name: str) -> dict:
    """What differs from the base in a run."""
    slots = {task: config.tasks[task].slot for task in config.schedule}
    changes = {"parts": {"use": PARTS.get(name, ())}}
    shared = {"l2p": "net/pool/.*|", "dualprompt": "net/general/.*|"}
    shared |= dict.fromkeys(WHOLE, "net/base/.*|")
    stages = {
        task: {"trainable": f"{shared.get(name, '')}net/task_{slot}/.*"}
        for task, slot in slots.items()
    }
    if name in WHOLE:  # weights that are good already want small steps
        for task in stages:
            stages[task]["lr"] = 1e-4 if config.vit.variant == "B/16" else 1e-3
    if name == "replay":
        _replayed(config, stages, slots)
    if name == "dualprompt" or "prefixes" in PARTS.get(name, ()):
        # Prefixes pass no norm, so they need steps of their own size: 0.03, as in that paper.
        changes["optimiser"] = {"lr_rules": ((".*/block_[0-9]+/(keys|values)", 10.0),)}
    if name in POOLS:
        changes["method"] = name
    if len(PARTS.get(name, ())) > 1:
        changes["parts"].update(_at_the_same_budget(config, name))
    return {**changes, "stages": stages}


def _replayed(config, stages: dict, slots: dict[str, int]) -> None:
    """Half of a stage's rows are of earlier tasks, each from 200 images kept of it; their heads go
    on learning with the base."""
    order = list(slots)
    for place, task in enumerate(order):
        earlier, rows = order[:place], config.stages[task].rows[task]
        share = max(1, rows // (2 * place)) if place else 0
        old = dict.fromkeys(earlier, share)
        stages[task]["rows"] = {**old, task: max(1, rows - share * place)}
        heads = "|".join(str(slots[name]) for name in (*earlier, task))
        stages[task].update({"trainable": f"net/base/.*|net/task_({heads})/.*", "replay": 200})


def _at_the_same_budget(config, name: str) -> dict:
    """Options with which a pair adds no more than the larger of the two alone."""
    rank = config.parts.rkr.rank
    # Of these layers RKR has (6 rank + 4) numbers per block and feature, a prefix 2 per position.
    changes = {"rkr": {"layers": ("qkv", "proj")}}
    if name == "prefixes_rkr":
        changes["prefixes"] = {"length": config.parts.prefixes.length - (3 * rank + 2)}
    if name == "mask_rkr":
        changes["mask"] = {"masked": "block_.*/(qkv|fc2)/kernel"}
    return changes


def _tfds(name: str, classes: range | tuple = (), labels: int = 0) -> dict:
    return {"tfds": {"name": name}, "keep": tuple(classes), "labels": labels or len(classes)}


def _split(name: str, steps: int, classes: int):
    """A stream of one data set's classes in equal steps, in their order."""
    each = math.ceil(classes / steps)
    return {
        f"part_{i + 1}": _tfds(name, range(i * each, min(classes, (i + 1) * each)))
        for i in range(steps)
    }


def _sets(config):
    gray = {"flip": False}
    return {
        "cifar": _tfds("cifar10", range(5, 10)),
        "fashion": {**_tfds("fashion_mnist", labels=10)},
        "digits": {**_tfds("mnist", labels=10), **gray},
    }


def _embedded(config):
    shapes = {"source": "shapes", "labels": 5}
    return {
        "shapes_1": {**shapes, "keep": tuple(range(10, 15))},
        "shapes_2": {**shapes, "keep": tuple(range(15, 20))},
        "digits": {"source": "digits", "flip": False, "labels": 10},
    }


STREAMS = {
    "cifar100": lambda config: _split("cifar100", 10, 100),
    "cifar10": lambda config: _split("cifar10", 5, 10),
    "fashion_mnist": lambda config: _split("fashion_mnist", 5, 10),
    "sets": _sets,
    "embedded": _embedded,
    # For benchmarks, which read no data.
    "hundred": lambda config: _split("imagenet2012", 100, 1000),
}
_SHAPES = {"source": "shapes", "keep": tuple(range(10)), "labels": 10}
_PRETRAINED_ON = {
    **dict.fromkeys(("cifar100", "cifar10", "fashion_mnist", "embedded", "hundred"), _SHAPES),
    "sets": _tfds("cifar10", range(5)),
}
