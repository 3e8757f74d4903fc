"""Six image tasks and three combinations in one network, on the embedded data.

python -m taskfusion_jax.main --config=configs/quickstart.py --workdir=runs/quickstart
"""

from configs import common


def get_config(arg: str = ""):
    """arg: empty, or `tiny` for a run of seconds that shows that everything works."""
    config = small(common.get_config())
    config.name = "quickstart"
    return common.tiny(config) if common.parse(arg, ("tiny",)) else config


def small(config):
    """What two CPU cores can train in minutes: a narrow gated network on 64x64 images."""
    config.ema = 0.99
    config.teacher = "ema"
    config.network.update(
        {"width": 16, "blocks": 5, "input_gate": True, "pixel_gate": True, "skips": True}
    )
    config.critic.update({"width": 16, "layers": 1})
    config.perceptual.layers = ("relu1_2", "relu2_2", "relu3_3")
    config.data.size = 64
    config.data.threads = 1
    # A task's generator rows must go far (gamma from 1 to 0, say), while Adam moves a weight by
    # about the learning rate: with 8 times as much, errors halve in as many steps.
    config.optimiser.lr_rules = ((".*(generator|gate)/.*", 8.0),)
    config.schedule = ("single", "combined")
    single, combined = (1, 4, 4, 7, 2, 2), (1, 2, 3, 5, 1, 1)
    cosine = {"schedule": "cosine", "warmup": 20}
    config.stages = {
        "single": common.stage(600, common.rows(single, (0, 0, 0)), "M1", 2e-3, **cosine),
        "combined": common.stage(400, common.rows(combined, (2, 2, 2)), "M3", 1e-3, **cosine),
    }
    config.evaluate.update({"images": 64, "batch": 16})
    config.checkpoint.every = 200
    config.log_every = 20
    return config
