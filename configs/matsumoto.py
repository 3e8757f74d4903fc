"""The comparison of paper 003: five tasks learnt one after another, and what is forgotten.

    python -m taskfusion_jax.compare --config=configs/matsumoto.py:small --workdir=runs/matsumoto

trains six methods on the embedded data on two CPU cores, in under an hour. In full
(`matsumoto.py`, 30 epochs of COCO for a task) it is for accelerators, was never run here, and wants
COCO and PASCAL VOC:

    --config.base.data.coco.dir=COCO --config.base.data_of.segmentation_2.tfds.data_dir=DATA

Data of one's own: `config.base.data` is that of all tasks; what `config.base.data_of.TASK` changes
is that task's. With a folder A of photographs and one for each segmentation, B and C, in VOC
layout with 11 and 21 classes:

    --config.base.data.source=image_folder --config.base.data.image_folder.dir=A \
    --config.base.data_of.segmentation_1.source=voc_folder \
    --config.base.data_of.segmentation_1.voc_folder.dir=B \
    --config.base.data_of.segmentation_1.voc_folder.classes=11 \
    --config.base.tasks.segmentation_1.classes=11 \
    --config.base.data_of.segmentation_2.source=voc_folder \
    --config.base.data_of.segmentation_2.voc_folder.dir=C \
    --config.base.tasks.segmentation_2.classes=21

One of the runs alone, and its counts:

    python -m taskfusion_jax.main --config=configs/matsumoto.py:piggyback,small --workdir=runs/masks
    python -m taskfusion_jax.describe --config=configs/matsumoto.py:piggyback

Tasks come in the order of the paper's table 1, or in any other, joined by `>`:
`matsumoto.py:piggyback,style_1>colourisation>segmentation_1`. The first one is Piggyback's base.
"""

from configs import common, compared
from taskfusion_jax.data.shapes import SHAPES

TASKS = ("segmentation_1", "segmentation_2", "colourisation", "style_1", "style_2")
METHODS = ("scratch", "finetune", "decoder", "piggyback", "resblock", "resblock_piggyback")
AUTOENCODER = "reconstruction"
CHAINS = ("colourisation+style_1", "colourisation+style_2")

# Table 2, mIoU and MSE brought to [0, 1]; losses are in a unit of the paper's own. Its 683.7 MB are
# a slip: 5 times 27.0 MiB of blocks and 8.7 make 143.7.
_PUBLISHED = {
    "segmentation_2/miou": (0.5859, 0.6487, 0.6163, 0.6145, 0.0426),
    "segmentation_2/miou after the next task": (None, 0.0187, 0.6163, 0.6145, 0.0426),
    "colourisation/mse": tuple(x / 255**2 for x in (244.0, 237.92, 241.66, 242.49, 532.83)),
    "colourisation/ssim": (0.9138, 0.9148, 0.9121, 0.9058, 0.9281),
    "colourisation/mse after the next task": (
        None,
        *(x / 255**2 for x in (870.18, 241.66, 242.49, 532.83)),
    ),
    "style_1/total_loss": (413833, 405893, 473723, 528587, 460268),
    "style_2/total_loss": (447480, 490490, 544249, 591476, 520221),
    "size/MB": (282.0, 282.0, 138.4, 63.6, 683.7),
}


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; an order of tasks; small; tiny."""
    words = [word for word in arg.split(",") if word]
    orders = [word for word in words if ">" in word]
    if len(orders) > 1:
        raise ValueError(f"two orders of tasks, {' and '.join(orders)}: give one")
    rest = ",".join(word for word in words if word not in orders)
    options = common.parse(rest, (*METHODS, "small", "tiny"))
    order = in_order(orders[0]) if orders else TASKS
    config = base(options)
    runs = {name: run(config, name, order) for name in METHODS}
    published = {name: {} for name in METHODS[:5]}
    for key, values in _PUBLISHED.items():
        for name, value in zip(METHODS[:5], values, strict=True):
            if value is not None:
                published[name][key] = value
    tables = {"Methods": METHODS}
    paper = {"Paper 003, table 2 (MSE brought to [0, 1]; 683 MB should be 143)": published}
    return with_measures(compared.comparison(config, runs, tables, options, paper))


def with_measures(made):
    """The config of a comparison, told which measures its tables show."""
    if "base" in made:
        made.shown = ("miou", "psnr", "mse", "ssim", "total_loss")
    return made


def in_order(text: str) -> tuple[str, ...]:
    """`a>b` -> (a, b). Raises ValueError for a task that is unknown or named twice."""
    order = tuple(text.split(">"))
    common.parse(",".join(order), TASKS)
    for name in order:
        if order.count(name) > 1:
            raise ValueError(f"task '{name}' twice in {text}: name each once")
    return order


def base(options: set[str]):
    """What all runs share. options: `small` for two CPU cores; `tiny`."""
    config = common.get_config()
    config.name = "matsumoto"
    config.backbone = "unet"
    config.combined = {}
    styles = {name: config.tasks[name].to_dict() for name in ("style_1", "style_2")}
    for style in styles.values():  # without gates to hand the image over, content needs more weight
        style["loss"] = {"content": 2e-2, "style": 1e-2}
    classes = {"kind": "class_scores", "loss": {"cross_entropy": 1.0}}
    tasks = {
        "segmentation_1": {**classes, "classes": 81},
        "segmentation_2": {**classes, "classes": 21},
        "colourisation": {
            "kind": "colourisation",
            "rgb": False,
            "gray": "keep",
            "loss": {"l2": 30.0},
        },
        **styles,
    }
    del config.tasks
    config.tasks = {name: {**tasks[name], "slot": slot} for slot, name in enumerate(TASKS, 1)}
    config.piggyback.update(
        {"base": ("segmentation_1",), "masked": "(encoder|decoder)/.*/kernel", "own": ""}
    )
    config.data.source = "coco"
    for name in ("segmentation_1", "segmentation_2"):
        config.data_of[name] = common.following(config.data)
    config.data_of.segmentation_2.update({"source": "tfds", "tfds": {"name": "voc_sbd"}})
    config.evaluate.update({"only_learnt": True, "frechet_layers": ()})
    # A fresh output layer on a trained network begins with a loss hundreds of times too large, and
    # Adam's second moments would remember that for the whole stage: masks then hardly move.
    config.optimiser.clip_norm = 1.0
    config.checkpoint.every, config.log_every = 5000, 100
    epoch = 118_287 // 32  # of COCO, batch 32; PASCAL VOC with SBD's masks has 8,498 images
    steps = (30 * epoch, 30 * 8_498 // 32, 30 * epoch, 30 * epoch, 30 * epoch)
    config.stages = {
        name: common.stage(n, {name: 32}, "M1", 1e-4, schedule="step")
        for name, n in zip(TASKS, steps, strict=True)
    }
    config.schedule = TASKS
    if options & {"small", "tiny"}:
        small(config)
    if "tiny" in options:
        common.tiny(config)
        config.evaluate.frechet_layers = ()  # of pictures of classes they mean nothing
    return config


def small(config):
    """Narrow networks on 64x64 images of the embedded data."""
    config.unet.widths = (16, 32, 64, 128, 128)
    config.resnet.update({"width": 16, "blocks": 6})
    config.critic.update({"width": 16, "layers": 1})
    config.perceptual.layers = ("relu1_2", "relu2_2", "relu3_3")
    config.data.size = 64
    classes = len(SHAPES) + 1
    config.data.source, config.data.threads = "scenes", 1
    config.data_of.segmentation_2.source = "scenes"
    config.data_of.segmentation_2.scenes.max_objects = 6
    for name in ("segmentation_1", "segmentation_2"):
        config.tasks[name].classes = classes
    config.optimiser.lr_rules = ((".*/mask/.*", 2.0),)  # there is little time to cross a threshold
    for name in TASKS:
        painting = name.startswith("style")  # VGG16 takes most of their time
        rows = {name: 4 if painting else 8}
        config.stages[name].update({"steps": 240, "rows": rows, "lr": 2e-3})
        config.stages[name].update({"schedule": "cosine", "warmup": 10})
    config.evaluate.update({"images": 64, "batch": 16})
    config.checkpoint.every, config.log_every = 200, 20


def run(config, method: str, order: tuple[str, ...]) -> dict:
    """What differs from the base in the run of a method, its tasks in that order."""
    slots = {name: config.tasks[name].slot for name in order}
    changes = {"schedule": order, **_METHODS[method](config, order, slots)}
    names = changes["schedule"]
    like = "colourisation"  # the autoencoder's stage: as long, on the same photographs
    stages = {name: config.stages[name if name in order else like].to_dict() for name in names}
    trainable, starts = changes.pop("trainable"), changes.pop("starts", {})
    for name, stage in stages.items():
        rows = sum(stage["rows"].values())
        stage["rows"] = {name: rows}
        stage["trainable"], stage["start"] = trainable(name), starts.get(name, "")
    return {**changes, "stages": stages}


def _scratch(config, order, slots):
    return {"method": "single", "trainable": lambda name: f"net/task_{slots[name]}/.*"}


def _finetune(config, order, slots):
    """The second style goes on from what was before the first one, as in the paper."""
    starts = {"style_2": order[-3]} if order[-2:] == TASKS[-2:] and len(order) > 2 else {}
    return {
        "method": "shared_trunk",
        "trainable": lambda name: f"net/shared/.*|net/task_{slots[name]}/.*",
        "starts": starts,
    }


def _decoder(config, order, slots):
    def trainable(name):
        own = f"net/task_{slots[name]}/.*"
        return f"net/shared/.*|{own}" if name == order[0] else own

    return {"method": "shared_enc", "trainable": trainable}


def _piggyback(config, order, slots):
    def trainable(name):
        own = f"net/task_{slots[name]}/.*"
        return f"net/base/.*|{own}" if name == order[0] else own

    return {
        "method": "piggyback",
        "piggyback": {"base": order[:1]},
        "trainable": trainable,
    }


def _images_only(config) -> dict:
    """Tasks for a network that makes images: classes in colours, colourisation as RGB."""
    painted = {"kind": "painted_classes", "loss": {"cross_entropy": 0.0, "l2": 10.0}}
    painted["loss"]["adversarial"] = 0.05
    return {
        "segmentation_1": dict(painted),
        "segmentation_2": dict(painted),
        "colourisation": {"rgb": True},
        AUTOENCODER: {"kind": "reconstruction", "slot": 0, "loss": {"l2": 30.0}},
    }


def _in_turn() -> dict:
    """Never trained: blocks of two tasks one after another."""
    return {"by": "sequential", "loss": {"l2": 1.0}}


def _resblock(config, order, slots):
    def trainable(name):
        return "net/base/.*" if name == AUTOENCODER else f"net/task_{slots[name]}/.*|critic/.*"

    return {
        "method": "resblock",
        "backbone": "resnet",
        "tasks": _images_only(config),
        "combined": {name: _in_turn() for name in CHAINS if set(name.split("+")) <= set(order)},
        "schedule": (AUTOENCODER, *order),
        "trainable": trainable,
    }


def _resblock_piggyback(config, order, slots):
    """Blocks of colourisation, masks on them for what comes after it, as in the paper."""
    first = "colourisation" if "colourisation" in order else order[0]

    def trainable(name):
        own = {AUTOENCODER: "net/base/(encoder|decoder)/.*", first: "net/base/blocks/.*"}
        return own.get(name) or f"net/task_{slots[name]}/.*"

    return {
        "method": "resblock_piggyback",
        "backbone": "resnet",
        "tasks": _images_only(config),
        "piggyback": {"base": (first,), "masked": "blocks/.*/kernel"},
        "schedule": (AUTOENCODER, *order[order.index(first) :]),
        "trainable": trainable,
    }


_METHODS = {
    "scratch": _scratch,
    "finetune": _finetune,
    "decoder": _decoder,
    "piggyback": _piggyback,
    "resblock": _resblock,
    "resblock_piggyback": _resblock_piggyback,
}
