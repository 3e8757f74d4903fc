"""Weights of image-to-image networks from files."""

import jax
import numpy as np
import pytest
import torch

from configs import matsumoto, takeda
from taskfusion_jax.engine import names
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.exporting.run import export
from taskfusion_jax.inference.model import Model
from tests.fails import fails
from tests.porting.torch_fast_style import noisy


def single():
    """The paper's network for every task, as wide as the published ones."""
    config = takeda.get_config("single,tiny")
    config.network.update({"width": 32, "blocks": 5, "input_gate": False})
    config.network.update({"pixel_gate": False, "skips": False})
    return config


def net_of(config):
    return Experiment(config).init_state().params["net"]


@pytest.mark.parametrize("running", [False, True])
def test_published_styles_are_the_same_in_ours(running, tmp_path):
    """Pixels of 0 to 255 there, of 0 to 1 here; statistics of old versions are passed over."""
    theirs, path = noisy(), tmp_path / "candy.pth"
    state = theirs.state_dict()
    more = {"in1.running_mean": torch.zeros(32), "res2.in1.running_var": torch.ones(128)}
    torch.save({**state, **(more if running else {})}, path)
    config = single()
    config.network.weights = str(path)
    experiment = Experiment(config)
    known = names.flatten(experiment.shapes.params["net"])
    loaded = experiment.method.pretrained(known)
    assert loaded.keys() == known.keys()
    if running:
        return
    tree = names.unflatten({k.partition("/")[2]: x for k, x in loaded.items() if "task_1/" in k})
    x = np.random.default_rng(0).random((2, 32, 24, 3), np.float32)
    ours = jax.jit(experiment.method.backbone.apply)(tree, x, np.zeros((2, 6), np.float32))
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(255 * np.moveaxis(x, -1, 1)).contiguous()).numpy() / 255
    wanted = np.moveaxis(wanted, 1, -1)
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(ours, wanted, atol=1e-4 * np.abs(wanted).max())


def test_another_network_is_refused_with_what_differs(tmp_path):
    path = tmp_path / "candy.pth"
    torch.save(noisy().state_dict(), path)
    config = single()
    config.network.update({"weights": str(path), "blocks": 6, "input_gate": True})
    says = "candy.pth", "backbone=transform_net", "missing block_5_a", "missing gate/kernel"
    fails(lambda: Experiment(config).init_state(), *says)
    config.network.weights = str(tmp_path / "none.pth")
    fails(lambda: Experiment(config).init_state(), "none.pth: no such file", "export")


def exported(config, folder):
    """Writes what a run of the config begins with for PyTorch."""
    experiment = Experiment(config)
    model = Model(experiment, experiment.init_state().params["net"], experiment.stages, {}, folder)
    export(model, "torch", folder)
    return model.params


def test_an_exported_network_comes_back(tmp_path):
    config = takeda.get_config("film,tiny")
    params = names.flatten(exported(config, tmp_path))
    config.seed, config.network.weights = 1, str(tmp_path / "model.safetensors")
    back = names.flatten(net_of(config))
    assert back.keys() == params.keys()
    assert all(np.array_equal(back[name], x) for name, x in params.items())


def test_a_masks_base_comes_back_without_the_output_layer(tmp_path):
    """A U-Net of one task, exported, is what another run's masks lie on."""
    config = matsumoto.get_config("scratch,tiny")
    params = exported(config, tmp_path)
    masks = matsumoto.get_config("piggyback,tiny")
    fresh = names.flatten(net_of(masks))
    masks.unet.weights = str(tmp_path / "style_1.safetensors")
    back, slot = names.flatten(net_of(masks)), config.tasks.style_1.slot
    for name, x in back.items():
        if name.startswith("base/"):
            wanted = names.flatten(params)[f"task_{slot}/{name.removeprefix('base/')}"]
            assert np.array_equal(x, wanted)
        else:
            assert np.array_equal(x, fresh[name])
