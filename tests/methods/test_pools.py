"""L2P and DualPrompt: what images pick, what moves, against NumPy."""

import re

import jax
import numpy as np
import pytest

from configs import vit_continual
from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError
from taskfusion_jax.methods.l2p import cosines
from taskfusion_jax.methods.registry import build_method

CHANNELS = {1: 5, 2: 3}
X = np.random.default_rng(0).random((6, 16, 16, 3), np.float32)


def method(name, **options):
    config = vit_continual.get_config(f"{name},tiny")
    config.data.size = 16
    config.vit.variant = "micro/8"
    for field, value in options.items():
        config[config.method][field] = value
    return build_method(config, CHANNELS)


def l2p(**options):
    config = vit_continual.get_config("l2p,tiny")
    config.data.size, config.vit.variant = 16, "micro/8"
    config.pool.update({"size": 7, "length": 2, "top": 3, **options})
    return build_method(config, CHANNELS)


def vectors(made, slot, rows=6):
    c = np.zeros((rows, made.slots), np.float32)
    c[:, slot] = 1
    return c


@pytest.fixture(scope="module")
def params():
    tree = l2p().init(jax.random.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), tree)


def test_cosines():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 6))
    expected = [[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]
    np.testing.assert_allclose(cosines(a, b), expected, rtol=1e-5)


def test_images_pick_the_nearest_keys_each_for_itself(params):
    made = l2p()
    picked = made.pick(params, vectors(made, 1)[0])
    chosen, likeness = made.choice(picked, X)
    query = np.asarray(made.backbone.features(params["base"], X))
    every = np.asarray(cosines(query, params["pool"]["keys"]))
    np.testing.assert_array_equal(chosen, np.argsort(-every, axis=1)[:, :3])
    np.testing.assert_allclose(likeness, -np.sort(-every, axis=1)[:, :3], rtol=1e-6)
    whole = made.apply(params, X, vectors(made, 1))
    for i in range(len(X)):  # whatever else is in the batch
        alone = made.apply(params, X[i : i + 1], vectors(made, 1, 1))
        np.testing.assert_allclose(alone[0], whole[i], atol=1e-5)


def test_batchwise_all_rows_get_the_commonest(params):
    made = l2p(batchwise=True)
    picked = made.pick(params, vectors(made, 1)[0])
    votes = np.bincount(np.asarray(made.choice(picked, X)[0]).ravel(), minlength=7)
    common = np.argsort(-votes, kind="stable")[:3]
    expected = made._with(made.net, picked, X, np.tile(common[None], (len(X), 1)))
    np.testing.assert_allclose(made.apply(params, X, vectors(made, 1)), expected, atol=1e-5)
    apart = l2p().apply(params, X, vectors(made, 1))
    np.testing.assert_allclose(made.run(picked, X, vectors(made, 1)), apart, atol=1e-5)


def test_the_pull_moves_keys_alone_towards_images(params):
    made = l2p(pull=0.5)

    def pull(tree):
        return made.aside(tree, X, vectors(made, 1))["pool/pull"]

    picked = made.pick(params, vectors(made, 1)[0])
    likeness = np.asarray(made.choice(picked, X)[1])
    np.testing.assert_allclose(pull(params), 0.5 * np.mean((1 - likeness).sum(axis=1)), rtol=1e-5)
    moved = {k for k, g in names.flatten(jax.grad(pull)(params)).items() if np.any(g != 0)}
    assert moved == {"pool/keys"}


def test_dualprompt_finds_the_expert_by_its_key():
    made = method("dualprompt")
    params = made.init(jax.random.key(0))
    query = np.asarray(made.backbone.features(params["base"], X))
    params["task_2"]["key"] = query[3]
    params["task_1"]["key"] = -query[3]
    assert made.nearest(params, X, (1, 2))[3] == 1
    np.testing.assert_allclose(
        made.aside(params, X[3:4], vectors(made, 2, 1))["key/pull"], 0, atol=1e-5
    )


def test_dualprompt_puts_prefixes_where_they_belong():
    made = method("dualprompt")
    params = made.init(jax.random.key(0))
    hooks = made.pick(params, vectors(made, 1)[0])["hooks"]
    length = made.options.general
    assert sorted(hooks) == [f"block_{i}" for i in range(4)]
    for i in (0, 1):
        assert hooks[f"block_{i}"]["keys"] is params["general"][f"block_{i}"]["keys"]
        assert len(hooks[f"block_{i}"]["keys"]) == length
    for i in (2, 3):
        own = params["task_1"]["expert"][f"block_{i}"]
        assert hooks[f"block_{i}"]["values"] is own["values"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"top": 8}, "config.pool.top=8 is more than config.pool.size=7"),
        ({"length": 0}, "config.pool.length=0 must be at least 1"),
    ],
)
def test_pools_that_make_no_sense_are_refused(options, says):
    with pytest.raises(UserError, match=re.escape(says)):
        l2p(**options)


def test_blocks_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=re.escape("expert_blocks=(4,) must be within 0..3")):
        method("dualprompt", expert_blocks=(4,))
