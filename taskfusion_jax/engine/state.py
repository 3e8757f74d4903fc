"""All that changes while training, and the step that changes it."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from taskfusion_jax.engine import names
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.errors import UserError


@flax.struct.dataclass
class State:
    """The state of a run, saved whole.

    Attributes:
      step: steps done, counted over all stages.
      params: the parameters; `net` is the shared network, `critic` the discriminator.
      opt_state: the optimiser's state, of the parameters that move in this stage only.
      ema: moving average of `params["net"]`, or an empty dict.
      teacher: the network (averaged, if it is) as the stage began, or an empty dict.
    """

    step: jax.Array
    params: dict
    opt_state: Any
    ema: dict
    teacher: dict


TEACHERS = {
    "self": lambda state: state.params["net"],
    "ema": lambda state: state.ema,
    "frozen": lambda state: state.teacher,
}


def start_stage(state: State, optimiser: optax.GradientTransformation, trainable: dict) -> State:
    """A stage begins with a fresh optimiser, and keeps a copy of the network where one is kept.

    Where an average is kept, a stage that freezes some of the network goes on from it: so what
    stands still does so as it was evaluated, and what moves fits it.
    """
    teacher = jax.tree.map(jnp.copy, state.ema or state.params["net"]) if state.teacher else {}
    params, average = names.flatten(state.params), names.flatten({"net": state.ema})
    if any(name.startswith("net/") and name not in trainable for name in params):
        params |= jax.tree.map(jnp.copy, average)
    moving = {name: params[name] for name in trainable}
    return state.replace(
        params=names.unflatten(params), opt_state=optimiser.init(moving), teacher=teacher
    )


def copied(state: State, source: str, target: str, field: str) -> State:
    """The state with what lies below one prefix copied to below another; averages too."""
    params = names.flatten(state.params)
    pairs = {name: target + name.removeprefix(source) for name in params if name.startswith(source)}
    if not pairs:
        raise UserError(f"{field}: no parameter's name begins with {source}")
    for old, new in pairs.items():
        if new not in params or params[new].shape != params[old].shape:
            raise UserError(f"{field}: {old} cannot be copied to {new}, which is absent or differs")

    def copy(flat):
        new = {pairs[name]: jnp.copy(x) for name, x in flat.items() if name in pairs}
        return names.unflatten({**flat, **new})

    ema = copy(names.flatten({"net": state.ema}))["net"] if state.ema else state.ema
    return state.replace(params=copy(params), ema=ema)


def replaced(state: State, arrays: Mapping[str, Any]) -> State:
    """The state with some of the network's first parameters from elsewhere, averages too.

    Args:
      state: before the first stage.
      arrays: by name below `net/`, of the parameters' shapes.
    """
    if not arrays:
        return state

    def put(tree):
        flat = names.flatten(tree)
        for name, x in arrays.items():
            flat[name] = jax.device_put(np.asarray(x, flat[name].dtype), flat[name].sharding)
        return names.unflatten(flat)

    params = {**state.params, "net": put(state.params["net"])}
    more = {kind: put(getattr(state, kind)) for kind in ("ema", "teacher") if getattr(state, kind)}
    return state.replace(params=params, **more)


def make_train_step(
    gradients: Callable,
    optimiser: optax.GradientTransformation,
    trainable: str,
    field: str,
    *,
    teacher: str,
    ema_decay: float,
    shardings: Any,
) -> Callable:
    """Jits (state, constants, batch) -> (state, metrics); the old state is donated.

    Only parameters whose name matches `trainable` get gradients and optimiser state.

    Args:
      gradients: of the stage's loss, see `make_gradients`.
      optimiser: acts on the flat dict of the parameters that move.
      trainable: regular expression on slash-joined names.
      field: config field of `trainable`, for error messages.
      teacher: which parameters the loss gets as its teacher: self, ema or frozen.
      ema_decay: of the moving average.
      shardings: (of the state, of the metrics).
    """

    def step(state: State, constants: Any, batch: Any) -> tuple[State, dict[str, jax.Array]]:
        moving, frozen = names.split(state.params, trainable, field)
        guide = names.flatten(TEACHERS[teacher](state))
        grads, metrics = gradients(moving, frozen, guide, constants, batch)
        updates, opt_state = optimiser.update(grads, state.opt_state, moving)
        moved = optax.apply_updates(moving, updates)
        # A finite loss may still lead to parameters that are not; the norm tells at once.
        metrics = {**metrics, "param_norm": optax.tree.norm(moved)}
        params = names.unflatten({**moved, **frozen})
        ema = state.ema
        if ema:
            # The average follows quickly at first, so that it forgets the random start.
            decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
            average = names.flatten({"net": ema})
            # In the order of a dict: that of a set would make each process compile another program.
            for name in (name for name in moved if name in average):
                # In this form what does not move stays as it is to the last bit.
                average[name] += (1 - decay) * (moved[name] - average[name])
            ema = names.unflatten(average)["net"]
        return State(state.step + 1, params, opt_state, ema, state.teacher), metrics

    return jit(step, donate_argnums=0, out_shardings=shardings)
