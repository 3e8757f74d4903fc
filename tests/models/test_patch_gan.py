"""PatchGAN against the same network in PyTorch, and the patch it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.models import patch_gan
from taskfusion_jax.models.patch_gan import PatchGAN

SLOTS = 3


def _random_params(net, size):
    """Random weights and biases of a scale that keeps the features alive."""
    x, c = jnp.zeros((1, size, size, 3)), jnp.zeros((1, SLOTS))
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, c)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: rng.normal(0, leaf.size**-0.25, leaf.shape).astype(np.float32), shapes
    )


def _torch_forward(params, x, c):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    planes = np.broadcast_to(c[:, None, None], (*x.shape[:3], c.shape[1]))
    h = torch.from_numpy(np.concatenate([2 * x - 1, planes], -1).transpose(0, 3, 1, 2).copy())
    last = len(params) - 1
    for i in range(last + 1):
        conv = params[f"Conv_{i}"]
        kernel = torch.from_numpy(conv["kernel"].transpose(3, 2, 0, 1).copy())
        stride = 2 if i < last - 1 else 1
        h = f.conv2d(h, kernel, torch.from_numpy(conv["bias"]), stride, padding=1)
        if i < last:
            h = f.leaky_relu(h if i == 0 else f.instance_norm(h), 0.2)
    return h.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize(("layers", "size", "out"), [(1, 16, 6), (2, 32, 6), (3, 72, 7)])
def test_equals_pytorch(layers, size, out):
    net = PatchGAN(width=4, layers=layers)
    params, rng = _random_params(net, size), np.random.default_rng(1)
    x, c = rng.random((3, size, size, 3), np.float32), rng.random((3, SLOTS), np.float32)
    verdict = jax.jit(net.apply)({"params": params}, x, c)
    assert verdict.shape == (3, out, out, 1) and verdict.dtype == jnp.float32
    np.testing.assert_allclose(verdict, _torch_forward(params, x, c), atol=1e-4)


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_verdict_sees_a_patch(monkeypatch, layers, patch):
    """Where the gradient of one verdict is not zero. Norms, which look at all of it, are cut."""
    monkeypatch.setattr(patch_gan, "instance_norm", lambda x: x)
    size = patch + 40
    net = PatchGAN(width=2, layers=layers)
    params = _random_params(net, size)
    x = np.random.default_rng(1).random((1, size, size, 3), np.float32)
    c = np.zeros((1, SLOTS), np.float32)

    def middle(x):
        verdict = net.apply({"params": params}, x, c)
        return verdict[0, verdict.shape[1] // 2, verdict.shape[2] // 2, 0]

    seen = np.abs(jax.grad(middle)(x)[0]).sum(-1) > 0
    for axis in (0, 1):
        where = np.flatnonzero(seen.any(axis))
        assert where[0] > 0 and where[-1] < size - 1
        assert where[-1] - where[0] + 1 == patch


def test_the_task_changes_the_verdict():
    net = PatchGAN(width=4, layers=1)
    params = _random_params(net, 16)
    x = np.tile(np.random.default_rng(1).random((1, 16, 16, 3), np.float32), (2, 1, 1, 1))
    a, b = net.apply({"params": params}, x, np.eye(2, SLOTS, dtype=np.float32))
    assert np.abs(a - b).max() > 0.01


def test_bfloat16_judges_nearly_the_same():
    x = np.random.default_rng(1).random((2, 16, 16, 3), np.float32)
    c = np.eye(2, SLOTS, dtype=np.float32)
    full, half = PatchGAN(width=4, layers=1), PatchGAN(width=4, layers=1, dtype=jnp.bfloat16)
    params = _random_params(full, 16)
    a, b = (jax.jit(net.apply)({"params": params}, x, c) for net in (full, half))
    assert b.dtype == jnp.float32
    assert np.abs(a - b).mean() < 0.03 * np.abs(a).mean()
