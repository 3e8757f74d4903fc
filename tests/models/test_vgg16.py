"""VGG16 against the same network in PyTorch, Gram matrices and pooling against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.vgg16 import CONVS, VGG16, gram, pooled
from tests.models.residuals import kept_values

ALL = tuple(conv.replace("conv", "relu") for conv in CONVS)


@pytest.fixture(scope="module")
def params():
    """He's start, in NumPy: the features keep their scale down to the last layer."""
    rng = np.random.default_rng(0)
    params, channels = {}, 3
    for conv, width in CONVS.items():
        kernel = rng.standard_normal((3, 3, channels, width), np.float32)
        bias = 0.1 * rng.standard_normal(width, np.float32)
        params[conv] = {"kernel": kernel * np.float32((2 / (9 * channels)) ** 0.5), "bias": bias}
        channels = width
    return params


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((2, 32, 48, 3), np.float32)


def _torch_features(params, images):
    torch = pytest.importorskip("torch")
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    normalised = (images - mean[None, None, None]) / std[None, None, None]
    x, features = torch.from_numpy(normalised.transpose(0, 3, 1, 2).copy()), {}
    for conv, leaves in params.items():
        if conv.endswith("_1") and conv != "conv1_1":
            x = torch.nn.functional.max_pool2d(x, 2)
        kernel = torch.from_numpy(leaves["kernel"].transpose(3, 2, 0, 1).copy())
        x = torch.nn.functional.conv2d(x, kernel, torch.from_numpy(leaves["bias"]), padding=1)
        x = x.relu()
        features[conv.replace("conv", "relu")] = x.numpy().transpose(0, 2, 3, 1)
    return features


def test_every_layer_equals_pytorch(params, images):
    expected = _torch_features(params, images)
    features = jax.jit(VGG16(ALL).apply)({"params": params}, images)
    assert tuple(features) == ALL
    for layer, value in expected.items():
        np.testing.assert_allclose(
            features[layer], value, rtol=1e-4, atol=1e-4 * value.max(), err_msg=layer
        )


def test_lpips_scaling_is_that_of_imagenet():
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x = np.linspace(0, 1, 5)[:, None]
    imagenet = (x - np.array([[0.485, 0.456, 0.406]])) / np.array([[0.229, 0.224, 0.225]])
    np.testing.assert_allclose((2 * x - 1 - shift[None]) / scale[None], imagenet, atol=1e-12)


def test_only_what_is_needed_is_made():
    images = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    network = VGG16(("relu2_2", "relu1_2"))
    features, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), images)
    assert list(variables["params"]) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2"]
    assert features["relu1_2"].shape == (1, 16, 16, 64)
    assert features["relu2_2"].shape == (1, 8, 8, 128)


def test_whole_network_has_its_known_size():
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(VGG16(("relu5_3",)).init, jax.random.key(0), images)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 14_714_688


def test_rematerialised_it_keeps_little_beside_its_features(params, images, capsys):
    layers = ("relu1_2", "relu2_2", "relu3_3")

    def loss(net):
        def of(images):
            features = net.apply({"params": params}, images)
            return sum((feature**2).mean() for feature in features.values())

        return of

    more, less = (loss(VGG16(layers, remat=remat)) for remat in (False, True))
    assert kept_values(capsys, less, images) < 0.7 * kept_values(capsys, more, images)
    ours, theirs = (jax.jit(jax.grad(net))(images) for net in (less, more))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_bfloat16(params, images):
    layers = ("relu1_2", "relu3_3")
    full = VGG16(layers).apply({"params": params}, images)
    half = VGG16(layers, dtype=jnp.bfloat16).apply({"params": params}, images)
    for layer in layers:
        assert half[layer].dtype == jnp.bfloat16
        error = np.abs(np.asarray(half[layer], np.float32) - full[layer]).mean()
        assert error < 0.02 * np.abs(full[layer]).mean()
    assert gram(half["relu3_3"]).dtype == pooled(half).dtype == jnp.float32


@pytest.mark.parametrize(
    ("layers", "size", "message"),
    [
        (("relu4_5",), 32, "no layer 'relu4_5' .*did you mean"),
        ((), 32, "asked for no layer"),
        (("relu4_1",), 7, "too small for relu4_1"),
    ],
)
def test_what_cannot_be_is_refused(layers, size, message):
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(VGG16(layers).init, jax.random.key(0), images)


def test_gram():
    x = np.random.default_rng(2).random((2, 4, 5, 3), np.float32)
    flat = x.reshape(2, 20, 3)
    expected = np.stack([f.T @ f for f in flat]) / (4 * 5 * 3)
    np.testing.assert_allclose(gram(x), expected, rtol=1e-5)


def test_pooled_joins_layers_from_shallow_to_deep():
    shallow, deep = np.ones((2, 4, 4, 3), np.float32), np.full((2, 2, 2, 5), 2, np.float32)
    vectors = pooled({"relu2_2": deep, "relu1_2": shallow})
    np.testing.assert_array_equal(vectors, [[1] * 3 + [2] * 5] * 2)
