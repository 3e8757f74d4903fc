"""The InceptionV3 of FID: the network in PyTorch, saved, loaded here, has the same features."""

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.models.inception_v3 import InceptionV3
from taskfusion_jax.porting.inception_v3 import load_inception_v3
from tests.fails import fails

torch = pytest.importorskip("torch")

from tests.porting.torch_inception import random_network  # noqa: E402


@pytest.fixture(scope="module")
def network():
    return random_network(seed=0)


@pytest.fixture(scope="module")
def arrays(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def params(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "pt_inception.pth"
    torch.save(network.state_dict(), path)
    params = load_inception_v3(path)
    path.unlink()
    return params


@pytest.mark.parametrize("size", [(64, 80), (320, 310)])
def test_features_equal_pytorch(network, params, size):
    """Of images that are enlarged, and of images that are made smaller."""
    images = np.random.default_rng(1).random((2, *size, 3), np.float32)
    images[1] = np.linspace(0, 1, size[1], dtype=np.float32)[None, :, None]
    with torch.inference_mode():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    features = np.asarray(jit(InceptionV3().apply)({"params": params}, images))
    assert features.shape == (2, 2048)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * expected.std())
    # The images are told apart by far more than the tolerance.
    assert np.abs(expected[0] - expected[1]).mean() > 0.1 * expected.std()


def test_the_network_has_its_known_size(params):
    """That of InceptionV3 without its top and without gains of the batch norms, as in Keras."""
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 21_768_352


def test_safetensors_of_the_same_names(arrays, params, tmp_path):
    save_file(arrays, tmp_path / "inception.safetensors")
    loaded = load_inception_v3(tmp_path / "inception.safetensors")
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_all_faults_are_named_in_one_line(arrays, tmp_path):
    wrong = arrays.copy()
    del wrong["Mixed_5b.branch1x1.conv.weight"], wrong["Mixed_7c.branch_pool.bn.running_var"]
    wrong["Mixed_6a.branch3x3.conv.weight"] = np.ones((384, 288, 1, 1), np.float32)
    wrong["AuxLogits.fc.bias"] = np.ones(1000, np.float32)
    path = tmp_path / "inception.safetensors"
    save_file(wrong, path)
    fails(
        lambda: load_inception_v3(path),
        path,
        "extra AuxLogits.fc.bias; missing Mixed_5b.branch1x1.conv.weight; "
        "missing Mixed_7c.branch_pool.bn.running_var; "
        "Mixed_6a.branch3x3.conv.weight has (384, 288, 1, 1), not (384, 288, 3, 3)",
    )


@pytest.mark.parametrize("path", ["", "none.pth"])
def test_without_weights_the_two_ways_are_told(path):
    fails(lambda: load_inception_v3(path), "pytorch-fid", "*.safetensors")
