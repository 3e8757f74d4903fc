"""One step in closed form: what moves, how far, and what is remembered of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from taskfusion_jax.engine import names
from taskfusion_jax.engine.gradients import make_gradients
from taskfusion_jax.engine.mesh import make_mesh, replicated
from taskfusion_jax.engine.optimiser import make_optimiser, make_schedule
from taskfusion_jax.engine.state import State, make_train_step, start_stage
from taskfusion_jax.errors import UserError

LR, DECAY = 0.01, 0.1
OPTIONS = {"b1": 0.9, "b2": 0.999, "clip_norm": 0.0, "lr_rules": (), "decay_rules": ()}


def loss_of(params, teacher, constants, batch):
    """Pulls each parameter to its own side, and measures the teacher."""
    net = params["net"]
    loss = sum(jnp.sum(sign * net[name]["w"]) for name, sign in (("a", 3.0), ("b", -0.5)))
    return loss, {"teacher": jnp.sum(teacher["a"]["w"]) if teacher else jnp.zeros(())}


def fresh(ema=False, teacher=False):
    net = {name: {"w": jnp.array([1.0, -2.0, 0.5])} for name in "ab"}
    copy = jax.tree.map(jnp.copy, net)
    kept = {"ema": copy if ema else {}, "teacher": jax.tree.map(jnp.copy, net) if teacher else {}}
    return State(step=jnp.zeros((), jnp.int32), params={"net": net}, opt_state=None, **kept)


def enter(state, trainable=".*", teacher="self", ema_decay=0.0, lr=LR, **options):
    """The state at the start of a stage, and its step."""
    moving, _ = names.split(state.params, trainable, "field")
    config = ConfigDict({**OPTIONS, **options})
    optimiser = make_optimiser(config, optax.constant_schedule(lr), list(moving))
    mesh = make_mesh({"data": 1, "fsdp": 1, "model": 1}, jax.devices()[:1])
    specs = dict.fromkeys(names.flatten(state.params), PartitionSpec())
    step = make_train_step(
        make_gradients(loss_of, mesh, specs, accumulate=1),
        optimiser,
        trainable,
        "field",
        teacher=teacher,
        ema_decay=ema_decay,
        shardings=replicated(mesh),
    )
    return start_stage(state, optimiser, moving), lambda state: step(state, {}, {})


def weights(state):
    return {name: np.asarray(leaf["w"]) for name, leaf in state.params["net"].items()}


def test_adams_first_step_is_the_sign_times_the_rate():
    state, step = enter(fresh())
    before = weights(state)
    state, metrics = step(state)
    after = weights(state)
    np.testing.assert_allclose(after["a"], before["a"] - LR, rtol=1e-6)
    np.testing.assert_allclose(after["b"], before["b"] + LR, rtol=1e-6)
    norm = np.sqrt(sum((w**2).sum() for w in after.values()))
    np.testing.assert_allclose(metrics["param_norm"], norm, rtol=1e-6)
    assert int(state.step) == 1


def test_frozen_parameters_stay_and_have_no_optimiser_state():
    state, step = enter(fresh(), trainable="net/b/.*")
    before = weights(state)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert shapes == [(3,), (3,)]  # Adam's two moments of b alone
    for _ in range(3):
        state, _ = step(state)
    assert weights(state)["a"].tobytes() == before["a"].tobytes()
    assert weights(state)["b"].tobytes() != before["b"].tobytes()


def test_a_stage_begins_with_fresh_moments():
    state, step = enter(fresh())
    state, _ = step(state)
    state, _ = enter(state, trainable="net/a/.*")
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.opt_state))


def test_rules_by_name():
    rules = {
        "lr_rules": (("net/a/.*", 0.1), ("net/.*", 2.0)),
        "decay_rules": (("net/b/.*", DECAY),),
    }
    state, step = enter(fresh(), **rules)
    before = weights(state)
    state, _ = step(state)
    after = weights(state)
    np.testing.assert_allclose(after["a"], before["a"] - 0.1 * LR, rtol=1e-6)
    wanted = before["b"] - 2 * LR * (-1 + DECAY * before["b"])
    np.testing.assert_allclose(after["b"], wanted, rtol=1e-6)


@pytest.mark.parametrize("done", [0, 5, 500])
def test_average(done):
    """decay = min(ema, (1 + step) / (10 + step)), of the new parameters."""
    state, step = enter(fresh(ema=True), ema_decay=0.9)
    state = state.replace(step=jnp.array(done, jnp.int32))
    before = np.asarray(state.ema["a"]["w"])
    state, _ = step(state)
    decay = min(0.9, (1 + done) / (10 + done))
    wanted = decay * before + (1 - decay) * weights(state)["a"]
    np.testing.assert_allclose(state.ema["a"]["w"], wanted, rtol=1e-6)


@pytest.mark.parametrize("teacher", ["self", "ema", "frozen"])
def test_teacher(teacher):
    """Which parameters the second step's loss sees: of the first, their average, of the start."""
    state, step = enter(fresh(ema=True, teacher=True), teacher=teacher, ema_decay=0.9)
    start = float(jnp.sum(state.params["net"]["a"]["w"]))
    state, _ = step(state)
    wanted = {
        "self": float(weights(state)["a"].sum()),
        "ema": float(state.ema["a"]["w"].sum()),
        "frozen": start,
    }
    assert len(set(wanted.values())) == 3
    _, metrics = step(state)
    np.testing.assert_allclose(metrics["teacher"], wanted[teacher], rtol=1e-6)


def test_schedules():
    def at(steps, **options):
        stage = {"steps": 100, "warmup": 0, "schedule": "constant", "lr": 1.0} | options
        schedule = make_schedule(ConfigDict(stage), "config.stages.x")
        return [float(schedule(step)) for step in steps]

    assert at((0, 99)) == [1, 1]
    np.testing.assert_allclose(at((0, 1, 9, 10), warmup=10), [0.1, 0.19, 0.91, 1], rtol=1e-5)
    np.testing.assert_allclose(at((0, 50, 100), schedule="cosine"), [1, 0.51, 0.02], rtol=1e-5)
    np.testing.assert_allclose(at((49, 50), schedule="step"), [1, 0.1], rtol=1e-5)
    with pytest.raises(UserError, match=r"config.stages.x.schedule: no 'cosin' \(did you mean"):
        at((0,), schedule="cosin")
