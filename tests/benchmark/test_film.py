"""FiLM fusion's works against their twins: outputs, losses, gradients, updates."""

import re

import numpy as np
import optax
import pytest

from configs import film_voc, quickstart
from taskfusion_jax.benchmark.agreement import check
from taskfusion_jax.benchmark.film import Film
from taskfusion_jax.engine.optimiser import make_optimiser
from tests.fails import fails

torch = pytest.importorskip("torch")

from taskfusion_jax.benchmark.twins.program import TorchProgram  # noqa: E402
from taskfusion_jax.benchmark.twins.training import adam  # noqa: E402
from taskfusion_jax.benchmark.twins.weights import gradients_to_torch, load  # noqa: E402


def assert_agree(work, precision="float32", layouts=("nchw", "channels_last")):
    """Both sides start from the same weights; returns what ours gave."""
    ours, twin = work.program().result, work.twin()
    expected = gradients_to_torch(twin.module, ours)
    for layout in layouts:
        check(expected, TorchProgram(twin, "eager", layout).result, precision, work.name)
    return ours


def film(config, stage=None):
    return Film(config, 2, stage).works()


def test_forward():
    ours = assert_agree(film(film_voc.get_config("tiny"))["forward"]())
    assert ours["output"].std() > 0.1


def test_l2_step_in_bfloat16():
    config = quickstart.get_config("tiny")
    config.dtype = "bfloat16"
    ours = assert_agree(film(config)["train_step_l2"](), "bfloat16", layouts=("nchw",))
    kernels = [np.abs(v).max() for k, v in ours.items() if k.endswith("kernel")]
    assert min(kernels) > 0  # every layer is compared


@pytest.mark.parametrize(
    ("config", "stage", "moving"),
    [
        (quickstart.get_config("tiny"), "single", ".*"),
        pytest.param(
            *(film_voc.get_config("m2,tiny"), None, "net/.*_norm/.*"), marks=pytest.mark.slow
        ),
        pytest.param(film_voc.get_config("m3,tiny"), None, ".*", marks=pytest.mark.slow),
    ],
)
def test_full_step(config, stage, moving):
    """M1 with an average and rates by name; M2's added losses, where all but FiLM is frozen; M3's
    targets by the network itself."""
    config.tasks.reconstruction.loss["smooth"] = 0.3
    config.optimiser.clip_norm = 10.0
    config.groups = 2
    config.stages[stage or "all"].trainable = moving
    ours = assert_agree(film(config, stage)["train_step"]())
    names = {name.removeprefix("gradient/") for name in ours if name != "loss"}
    assert all(re.fullmatch(moving, name) for name in names)
    assert any(name.startswith("critic") for name in names) == (moving == ".*")


def test_adam_moves_as_ours():
    config = quickstart.get_config("tiny").optimiser
    config.update({"clip_norm": 2.0, "decay_rules": (("a/.*", 0.1),)})
    config.lr_rules = ((".*/bias", 8.0),)
    rng = np.random.default_rng(0)
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2), "b": torch.nn.Linear(3, 2)})
    shapes = {f"{m}/{leaf}": s for m in "ab" for leaf, s in (("kernel", (3, 2)), ("bias", (2,)))}
    params = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    load(module, params)
    theirs = adam(1e-2, config)(module)
    ours = make_optimiser(config, lambda _: 1e-2, list(params))
    state = ours.init(params)
    for _ in range(4):
        grads = {name: rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
        updates, state = ours.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        for m in "ab":
            module[m].weight.grad = torch.from_numpy(grads[f"{m}/kernel"].T.copy())
            module[m].bias.grad = torch.from_numpy(grads[f"{m}/bias"])
        theirs.step()
    for m in "ab":
        np.testing.assert_allclose(
            module[m].weight.detach().T, params[f"{m}/kernel"], rtol=2e-5, atol=1e-6
        )
        np.testing.assert_allclose(module[m].bias.detach(), params[f"{m}/bias"], rtol=2e-5)


def test_weights_are_strict():
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2)})
    kernel, bias = np.zeros((3, 2)), np.zeros(2)
    fails(lambda: load(module, {"a/kernel": kernel}), "missing a/bias")
    fails(lambda: load(module, {"a/kernel": kernel, "a/bias": bias, "b": bias}), "extra b")
    fails(lambda: load(module, {"a/kernel": kernel, "a/bias": np.zeros(3)}), "a/bias has (3,)")
