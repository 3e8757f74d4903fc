"""What the evaluator measures with features: Frechet distances and LPIPS."""

import jax
import numpy as np
import pytest

from configs import quickstart
from taskfusion_jax.errors import UserError
from taskfusion_jax.evaluator import Evaluator
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.metrics.features import frechet_features
from taskfusion_jax.models.vgg16 import VGG16, pooled


def _config():
    config = quickstart.get_config("tiny")
    for style in ("style_1", "style_2"):
        config.tasks[style].loss = {"l2": 1.0}
    config.combined = {"segmentation+style_1": {"by": "mask", "loss": {"l2": 1.0}}}
    for stage in config.stages.values():
        stage.rows = {k: n for k, n in stage.rows.items() if k in config.tasks}
    config.evaluate.update({"images": 3, "batch": 2, "lpips": True, "sweep": 2, "pair": 2})
    return config


@pytest.fixture(scope="module")
def measured():
    """Metrics of two networks with other weights."""
    evaluator = Evaluator(Experiment(_config()))
    init = jax.jit(evaluator.method.init)

    def network(seed):
        drawn = np.random.default_rng(seed)
        move = lambda x: x + drawn.normal(0, 0.1, x.shape).astype(np.float32)  # noqa: E731
        return jax.tree.map(move, init(jax.random.key(seed)))

    return [evaluator(network(seed), "M1")[0] for seed in (0, 1)]


@pytest.mark.slow
def test_no_network_makes_the_reference_it_is_compared_with(measured):
    """The distance of the untouched images is the same, whatever the network."""
    first, second = measured
    for task in ("restoration", "style_1", "segmentation+style_1/M1"):
        assert first[f"{task}/frechet_identity"] == second[f"{task}/frechet_identity"] > 0
        assert first[f"{task}/frechet"] != second[f"{task}/frechet"]


@pytest.mark.slow
def test_lpips_is_nothing_between_equal_images_and_something_between_others(measured):
    for metrics in measured:
        assert metrics["reconstruction/lpips_identity"] == pytest.approx(0, abs=1e-9)
        assert metrics["restoration/lpips"] > 0.05
        assert metrics["restoration/lpips_identity"] > 0.01


def test_features_are_those_that_the_config_asks_for():
    options = _config().evaluate
    options.frechet_layers = ("relu1_2", "relu2_1")
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    vgg = VGG16(layers=("relu2_1", "relu1_2"))
    weights = vgg.init(jax.random.key(0), images)["params"]
    features = frechet_features(options, weights)
    assert features.name == "mean-pooled VGG16 relu1_2, relu2_1"
    wanted = pooled(vgg.apply({"params": weights}, images))
    np.testing.assert_allclose(features.compute(features.weights, images), wanted, rtol=1e-6)
    options.frechet_layers = ()
    assert frechet_features(options, weights) is None
    options.inception = "gone.pth"
    with pytest.raises(UserError, match=r"gone\.pth"):
        frechet_features(options, weights)
