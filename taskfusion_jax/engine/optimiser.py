"""Adam with schedules, and with learning rate and weight decay by parameter name."""

import optax
from ml_collections import ConfigDict

from taskfusion_jax.engine.names import by_rules
from taskfusion_jax.errors import UserError, did_you_mean

SCHEDULES = {
    "constant": lambda lr, steps: optax.constant_schedule(lr),
    "cosine": lambda lr, steps: optax.cosine_decay_schedule(lr, steps, alpha=0.02),
    "step": lambda lr, steps: optax.piecewise_constant_schedule(lr, {steps // 2: 0.1}),
}


def make_schedule(stage: ConfigDict, field: str) -> optax.Schedule:
    """Learning rate over a stage: linear warm-up, then `stage.schedule` (`step`: /10 half way).

    Raises:
      UserError: an unknown schedule.
    """
    if stage.schedule not in SCHEDULES:
        raise UserError(
            f"{field}.schedule: no '{stage.schedule}'{did_you_mean(stage.schedule, SCHEDULES)}"
        )
    rest = SCHEDULES[stage.schedule](stage.lr, max(1, stage.steps - stage.warmup))
    if not stage.warmup:
        return rest
    rise = optax.linear_schedule(stage.lr / stage.warmup, stage.lr, stage.warmup)
    return optax.join_schedules([rise, rest], [stage.warmup])


def make_optimiser(
    config: ConfigDict, schedule: optax.Schedule, names: list[str]
) -> optax.GradientTransformation:
    """Adam(W) on a flat dict of the parameters `names`.

    Args:
      config: `config.optimiser`; `lr_rules` and `decay_rules` are (regex, factor) pairs of which
        the first match counts; without a match the factor is 1 and 0.
      schedule: learning rate by step.
      names: slash-joined names of the parameters that move.
    """
    rates = by_rules(names, config.lr_rules, 1.0, "config.optimiser.lr_rules")
    decays = by_rules(names, config.decay_rules, 0.0, "config.optimiser.decay_rules")
    chain = [
        optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        optax.scale_by_adam(config.b1, config.b2),
        _scaled_by_name(lambda update, param, name: update + decays[name] * param, decays, 0.0),
        _scaled_by_name(lambda update, param, name: update * rates[name], rates, 1.0),
        optax.scale_by_learning_rate(schedule),
    ]
    return optax.chain(*chain)


def _scaled_by_name(fun, factors: dict[str, float], neutral: float) -> optax.GradientTransformation:
    """Changes each update by its name's factor; nothing at all where all factors are neutral."""
    if all(factor == neutral for factor in factors.values()):
        return optax.identity()
    return optax.stateless(
        lambda updates, params: {k: fun(updates[k], params[k], k) for k in updates}
    )
