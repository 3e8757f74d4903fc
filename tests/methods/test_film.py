"""The registry of methods, and what FiLM fusion counts as one task's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from configs import common
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.errors import UserError
from taskfusion_jax.methods.film import Film
from taskfusion_jax.methods.registry import build_method


def _config(**network):
    config = common.get_config()
    config.network.update(network)
    return config


def _flat(method):
    params = jax.eval_shape(method.init, jax.random.key(0))
    return {"/".join(path): leaf for path, leaf in flatten_dict(params).items()}


@pytest.mark.parametrize(
    ("network", "total", "own"),
    [
        ({}, 1_698_435, 3200),
        ({"input_gate": True}, 1_698_453, 3203),
        # The skips' norms modulate 32 + 64 channels more: 7 x 2 x 96 parameters.
        ({"skips": True}, 1_698_435 + 7 * 192, 3200 + 192),
    ],
)
def test_what_belongs_to_one_task(network, total, own):
    method = build_method(_config(**network))
    flat = _flat(method)
    assert sum(leaf.size for leaf in flat.values()) == total
    assert [method.per_task(flat, slot) for slot in range(6)] == [0] + 5 * [own]


def test_only_a_tasks_own_row_moves_it():
    """Changing what `per_task` counts for slot 2 leaves every other task as it was."""
    method = build_method(_config(width=4, blocks=1, input_gate=True, skips=True))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    params = jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)

    def change(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        own = np.arange(len(leaf)) == 2
        return leaf + own[:, None] if method.per_task({name: leaf}, 2) else leaf

    changed = jax.tree_util.tree_map_with_path(change, params)
    image, vectors = rng.random((1, 16, 16, 3), np.float32), np.eye(7, 6, -1, dtype=np.float32)
    images, apply = np.repeat(image, 7, axis=0), jit(method.run)
    before, after = apply(params, images, vectors), apply(changed, images, vectors)
    moved = np.abs(before - after).max(axis=(1, 2, 3)) > 1e-5
    np.testing.assert_array_equal(moved, vectors[:, 2] == 1)


def test_the_config_reaches_the_network():
    config = _config(width=8, blocks=2)
    config.slots, config.dtype = 9, "bfloat16"
    method = build_method(config)
    assert isinstance(method, Film)
    flat = _flat(method)
    assert flat["down_0/conv/kernel"].shape == (9, 9, 3, 8)
    assert flat["down_0_norm/generator/kernel"].shape == (9, 16)
    assert "block_1_b/conv/kernel" in flat and "block_2_a/conv/kernel" not in flat
    assert method.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in flat.values())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("method", "fim", "config.method: no 'fim' .did you mean 'film'"),
        ("dtype", "float16", "config.dtype: no 'float16' .did you mean"),
    ],
)
def test_unknown_names_are_refused(field, value, message):
    config = _config()
    config[field] = value
    with pytest.raises(UserError, match=message):
        build_method(config)
