"""Numbers and names in a config that would break a run late, refused before anything is made."""

import functools

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.models.vgg16 import CONVS

_LEAST = {
    "slots": 1, "groups": 0, "accumulate": 1, "network.width": 1, "network.blocks": 0,
    "checkpoint.every": 1, "checkpoint.keep": 1, "log_every": 1,
    "evaluate.images": 1, "evaluate.batch": 1, "evaluate.pictures": 1,
    "evaluate.sweep": 2, "evaluate.pair": 2,
}  # fmt: skip


_LEAST_DATA = {
    "size": 16, "workers": 0, "threads": 1, "prefetch": 1,
    "per_class": 0, "mixup": 0, "augment": 0,
}  # fmt: skip


def check_config(config: ConfigDict) -> None:
    """Raises UserError where a number is out of range, or a layer or rule makes no sense."""
    if "runs" in config:
        raise UserError(
            "this config is a comparison: give it to taskfusion_jax.compare, or name one of its "
            f"runs after the colon, such as :{next(iter(config.runs), 'NAME')}"
        )
    if "stages" not in config:
        raise UserError("this config has no stages: it is for taskfusion_jax.benchmark only")
    for name, least in _LEAST.items():
        value = functools.reduce(getattr, name.split("."), config)
        if value < least:
            raise UserError(f"config.{name}={value} must be at least {least}")
    for name, section in config.data_of.items():
        if name not in config.tasks:
            hint = did_you_mean(name, config.tasks)
            raise UserError(f"config.data_of: no task '{name}'{hint}")
        if section.size != config.data.size:
            raise UserError(
                f"config.data_of.{name}.size={section.size} must be config.data.size="
                f"{config.data.size}"
            )
        _check_data(section, f"config.data_of.{name}")
    _check_data(config.data, "config.data")
    if not 0 <= config.ema < 1:
        raise UserError(f"config.ema={config.ema} must be at least 0 and below 1")
    for field in ("perceptual.layers", "evaluate.frechet_layers"):
        _check_layers(field, functools.reduce(getattr, field.split("."), config))


def _check_data(section: ConfigDict, field: str) -> None:
    for name, least in _LEAST_DATA.items():
        if section[name] < least:
            raise UserError(f"{field}.{name}={section[name]} must be at least {least}")
    if not 0 < section.scale <= 1:
        raise UserError(f"{field}.scale={section.scale} must be above 0 and at most 1")
    if not 0 <= section.augment_strength <= 10:
        raise UserError(f"{field}.augment_strength={section.augment_strength} must be within 0..10")


def _check_layers(field: str, layers: tuple[str, ...]) -> None:
    known = [name.replace("conv", "relu") for name in CONVS]
    for layer in layers:
        if layer not in known:
            raise UserError(f"config.{field}: no '{layer}' in VGG16{did_you_mean(layer, known)}")
