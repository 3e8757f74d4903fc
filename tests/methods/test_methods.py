"""Every method of paper 004: its published size, what a task owns, and how rows are routed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from configs import takeda
from taskfusion_jax.counts import count
from taskfusion_jax.engine import names
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.errors import UserError
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.methods import registry
from taskfusion_jax.models.conditioning import (
    AffineNorm,
    ChainedFilmNorm,
    ChannelAttention,
    FilmNorm,
)

NAMES = (
    *("film", "encin", "sgn", "sgn_bias", "single", "shared_enc", "piggyback1"),
    *("film_chain", "film_out"),
)
TOLD = ("film", "film_chain", "encin", "sgn", "sgn_bias")
ROUTED = ("single", "shared_enc", "piggyback1")


def small(name: str):
    """The method on a narrow network, and parameters that tell all its tasks apart."""
    config = takeda.get_config(f"{name if name in takeda.RUNS else 'film'},tiny")
    config.method = name if name not in takeda.RUNS else config.method
    method = registry.build_method(config)
    rng = np.random.default_rng(0)
    params = names.flatten(method.init(jax.random.key(0)))
    for key, x in params.items():
        noise = rng.normal(0, 0.2, x.shape).astype(np.float32)
        params[key] = jnp.where(noise > 0, 1.0, 0.0) if "/mask/" in key else x + noise
    return method, names.unflatten(params)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("film", 1_698_435),
        ("encin", 1_695_747),
        ("sgn", 1_765_363),
        ("sgn_bias", 1_902_243),
        ("single", 10_075_410),
        ("shared_enc", 9_572_370),
    ],
)
def test_sizes_are_those_of_the_paper(name, total):
    """Paper 004, table 2."""
    counts = count(takeda.get_config(name))
    assert counts["total"] == total
    assert counts["mask_bits_per_task"] == 0 and counts["bytes"] == 4 * total


@pytest.mark.parametrize(
    ("name", "base"), [("piggyback1", "completion"), ("piggyback2", "segmentation")]
)
def test_piggyback_counts_base_masks_and_own_floats_apart(name, base):
    counts = count(takeda.get_config(name))
    convs = 1_676_035 - (32 + 64 + 128 * 11 + 64 + 32 + 3)  # without biases
    output = 9 * 9 * 32 * 3
    assert counts["shared"] == 1_679_235  # one net of `single`
    assert counts["mask_bits_per_task"] == convs - output
    own = {task: 0 if task == base else output + 3 for task in counts["per_task"]}
    assert counts["per_task"] == own


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n == "single" else ()) for n in NAMES],
)
def test_rows_of_a_batch_do_not_mix(name):
    """Any order of tasks in a batch gives what each row gives alone."""
    method, params = small(name)
    images = np.random.default_rng(1).random((5, 16, 16, 3), np.float32)
    vectors = np.eye(6, dtype=np.float32)[[3, 1, 3, 4, 2]] * (np.array([1, 1, 1, 0, 1])[:, None])
    vectors = vectors.astype(np.float32)
    together = jit(lambda p, x: method.apply(p, x, vectors))(params, images)
    run = jit(method.run)
    for i in range(5):
        alone = run(method.pick(params, vectors[i]), images[i : i + 1], vectors[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_each_task_does_something_else(name):
    method, params = small(name)
    image = np.random.default_rng(1).random((1, 16, 16, 3), np.float32)
    run = jit(method.run)
    outputs = []
    for slot in range(6):
        vector = np.eye(6, dtype=np.float32)[slot] * (slot > 0)
        outputs.append(run(method.pick(params, vector), image, vector[None])[0])
    for i in range(6):
        for j in range(i):
            assert np.abs(outputs[i] - outputs[j]).max() > 1e-3, (i, j)


@pytest.mark.parametrize("name", TOLD)
def test_only_a_tasks_own_row_moves_it(name):
    """What `per_task` counts for slot 2 is what no other task uses."""
    method, params = small(name)
    image = np.random.default_rng(1).random((1, 16, 16, 3), np.float32)
    flat = names.flatten(params)
    own = [key for key, x in flat.items() if method.per_task({key: x}, 2)]
    assert sum(flat[key].shape[1] for key in own) == method.per_task(flat, 2) > 0
    changed = names.unflatten({k: x.at[2].add(1) if k in own else x for k, x in flat.items()})
    run = jit(method.run)
    for slot in range(6):
        vector = np.eye(6, dtype=np.float32)[slot : slot + 1] * (slot > 0)
        before, after = (run(p, image, vector) for p in (params, changed))
        assert np.array_equal(before, after) == (slot != 2)


@pytest.mark.parametrize("name", (*ROUTED, "film_out"))
def test_only_a_tasks_own_part_moves_it(name):
    method, params = small(name)
    image = np.random.default_rng(1).random((1, 16, 16, 3), np.float32)
    run = jit(method.run)
    changed = {
        k: jax.tree.map(lambda x: x + 1, v) if k == "task_2" else v for k, v in params.items()
    }
    for slot in range(6):
        vector = np.eye(6, dtype=np.float32)[slot] * (slot > 0)
        before, after = (
            run(method.pick(p, vector), image, vector[None]) for p in (params, changed)
        )
        assert np.array_equal(before, after) == (slot != 2)


@pytest.mark.parametrize("vector", [[0, 1, 1, 0, 0, 0], [0, 0.5, 0, 0, 0, 0]])
@pytest.mark.parametrize("name", ROUTED)
def test_a_network_per_task_cannot_combine(name, vector):
    method, params = small(name)
    with pytest.raises(UserError, match=r"tasks? at strength 1"):
        method.pick(params, np.array(vector, np.float32))
    config = takeda.get_config(f"{name},tiny")
    stage = config.schedule[-1]
    config.stages[stage].combine = "M3"
    config.stages[stage].rows = {"restoration": 1, "restoration+style_1": 1}
    with pytest.raises(UserError, match=r"rows.restoration\+style_1.*cannot combine"):
        Experiment(config)


def test_masked_film_runs_its_base_together_and_every_other_task_apart(monkeypatch):
    """Seen on a network that adds to an image the sum of its parameters and its task's number."""
    method, params = small("film_piggyback")  # completion, of slot 1, is the base
    calls = []

    def apply(params, x, c):
        calls.append(len(x))
        number = c @ np.arange(6, dtype=np.float32)
        return x + sum(jnp.sum(p) for p in jax.tree.leaves(params)) + number[:, None, None, None]

    monkeypatch.setattr(method.backbone, "apply", apply)
    method.base = [1, 3]
    slots = [2, 1, 3, 2, 1, 4]
    vectors, x = np.eye(6, dtype=np.float32)[slots], np.zeros((6, 4, 4, 3), np.float32)
    made = method.apply(params, x, vectors)
    assert sorted(calls) == [1, 2, 3]  # rows of slot 4, of slot 2, and of the base
    del params["task_3"]  # as it is where that slot belongs to the base
    sums = {s: sum(np.sum(p) for p in jax.tree.leaves(method.network(params, s))) for s in slots}
    assert sums[1] == sums[3] != sums[2] != sums[4]
    for row, slot in enumerate(slots):
        np.testing.assert_allclose(made[row], sums[slot] + slot, rtol=1e-5)


def test_a_task_of_masked_film_owns_its_row_its_output_layer_and_its_mask():
    method, params = small("film_piggyback")
    flat = names.flatten(params)
    own = {k: x for k, x in flat.items() if k.startswith("task_2/own/")}
    bits = sum(x.size for k, x in flat.items() if k.startswith("task_2/mask/"))
    assert own and method.mask_bits(flat, 2) == bits > 0
    rows = small("film")[0].per_task(names.flatten(params["base"]), 2)
    assert rows > 0
    assert method.per_task(flat, 2) == rows + sum(x.size for x in own.values())
    assert method.per_task(flat, 1) == rows and method.mask_bits(flat, 1) == 0


def test_channel_attention_equals_pytorch():
    """CCAM with a bias, against the formula in PyTorch (METHODS: s, h, g)."""
    rng = np.random.default_rng(0)
    x, c = rng.random((2, 5, 7, 8), np.float32), rng.random((2, 6), np.float32)
    for shift in (False, True):
        net = ChannelAttention(reduction=2 if shift else 4, shift=shift)
        params = net.init(jax.random.key(0), x, c)["params"]
        params = jax.tree.map(lambda p: rng.normal(0, 0.5, p.shape).astype(np.float32), params)

        def dense(name, v, params=params):
            kernel, bias = (torch.from_numpy(params[name][k]) for k in ("kernel", "bias"))
            return torch.nn.functional.linear(v, kernel.T, bias)

        image = torch.from_numpy(x)
        s = torch.relu(dense("task", torch.from_numpy(c)))
        h = torch.relu(dense("squeeze", torch.cat([image.mean((1, 2)), s], 1)))
        out = dense("excite", h)[:, None, None]
        wanted = torch.sigmoid(out[..., :8]) * image + (out[..., 8:] if shift else 0)
        np.testing.assert_allclose(net.apply({"params": params}, x, c), wanted, atol=1e-5)


def test_affine_norm_equals_pytorch():
    rng = np.random.default_rng(0)
    x = rng.random((2, 5, 7, 8), np.float32)
    scale, bias = rng.random(8, np.float32), rng.random(8, np.float32)
    ours = AffineNorm().apply({"params": {"scale": scale, "bias": bias}}, x, np.zeros((2, 6)))
    image, scale, bias = (torch.from_numpy(a) for a in (x.transpose(0, 3, 1, 2), scale, bias))
    theirs = torch.nn.functional.instance_norm(image, weight=scale, bias=bias)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1), atol=1e-5)


def test_chained_film_is_film_for_one_task_and_a_composition_for_two():
    rng = np.random.default_rng(0)
    x = rng.random((1, 4, 4, 3), np.float32)
    kernel, bias = rng.normal(0, 0.5, (6, 6)).astype(np.float32), np.ones(6, np.float32)
    bias[3:] = 0
    params = {"params": {"generator": {"kernel": kernel, "bias": bias}}}
    one = np.eye(6, dtype=np.float32)[1:2]
    both = one + np.eye(6, dtype=np.float32)[4:5]
    chained, plain = ChainedFilmNorm(), FilmNorm()
    np.testing.assert_allclose(
        chained.apply(params, x, one), plain.apply(params, x, one), atol=1e-5
    )
    first = np.asarray(plain.apply(params, x, one))
    wanted = (1 + kernel[4, :3]) * first + kernel[4, 3:]
    np.testing.assert_allclose(chained.apply(params, x, both), wanted, atol=1e-5)


def test_output_layers_add_up_at_their_strengths():
    method, params = small("film_out")
    vector = np.array([0, 1, 0, 0.5, 0, 0], np.float32)
    picked = names.flatten(method.pick(params, vector))
    flat = names.flatten(params)
    for name in ("kernel", "bias"):
        own = [flat[f"task_{slot}/out/conv/{name}"] for slot in (1, 3)]
        wanted = flat[f"base/out/conv/{name}"] + own[0] + 0.5 * own[1]
        np.testing.assert_allclose(picked[f"out/conv/{name}"], wanted, rtol=1e-6)
    assert picked["down_0/conv/kernel"] is flat["base/down_0/conv/kernel"]
    own_part = sum(x.size for k, x in flat.items() if k.startswith("task_2/"))
    assert method.per_task(flat, 2) == own_part + small("film")[0].per_task(flat, 2)
