"""Exports as PyTorch: the same numbers from the same weights, for every network here."""

import itertools
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch

from configs import matsumoto, takeda, vit_continual
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.exporting.network import networks
from taskfusion_jax.exporting.run import export, gain
from taskfusion_jax.exporting.torch_files import module_source, torch_module
from taskfusion_jax.inference.model import Model, load
from taskfusion_jax.porting.torch_state import from_state_dict, to_state_dict
from tests.engine import runs
from tests.fails import fails


def slowly(*values):
    """Parameters that are tried by `pytest -m slow` only."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def model(config, tmp_path):
    """What a run of the config begins with, and noise on it."""
    experiment, rng = Experiment(config), np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32),
        experiment.init_params(jax.random.key(0))["net"],
    )
    return Model(experiment, params, experiment.stages, {}, tmp_path)


def assert_equal(network):
    x, c = network.example()
    ours = np.asarray(network(x, c))
    inputs = [torch.from_numpy(np.moveaxis(x, -1, 1).copy())]
    inputs += [torch.from_numpy(c)] if network.slots else []
    with torch.no_grad():
        theirs = torch_module(network)(*inputs).numpy()
    theirs = np.moveaxis(theirs, 1, -1) if theirs.ndim == 4 else theirs
    assert ours.shape == theirs.shape and ours.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1, np.abs(ours).max()))


def assert_is_the_run(whole, made):
    """Each exported function is the run's own, with its task's parameters and no other's."""
    x, c = made[0].example()
    for network in made:
        vectors = np.tile(network.task.vector, (len(x), 1)) if network.task else c
        expected = np.asarray(whole.method.apply(whole.params, x, vectors))
        ours = np.asarray(network(x, c))
        np.testing.assert_allclose(ours, expected[..., : ours.shape[-1]], atol=1e-5)
    outputs = [np.asarray(network(x, c)) for network in made]
    for one, other in itertools.combinations(outputs, 2):
        assert one.shape != other.shape or np.abs(one - other).max() > 1e-3


TOLD = ("film", "encin", "sgn", "sgn_bias", "film_chain")


def told(method, **network):
    config = takeda.get_config("film,tiny")
    config.method = method
    config.network.update(network)
    return config


@pytest.mark.parametrize("method", TOLD)
@pytest.mark.parametrize("gated", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_network_that_is_told_its_task(method, gated, tmp_path):
    paths = dict.fromkeys(("input_gate", "pixel_gate", "skips"), gated)
    whole = model(told(method, **paths), tmp_path)
    (network,) = networks(whole)
    assert network.slots == 6 and network.task is None
    assert_equal(network)
    assert_is_the_run(whole, [network])


@pytest.mark.parametrize("method", TOLD)
def test_one_task_folded_in_is_the_task(method, tmp_path):
    """Smaller, without a vector, and the same output as with it."""
    made = model(told(method, input_gate=True, pixel_gate=True, skips=True), tmp_path)
    (whole,), (alone,) = networks(made), networks(made, "style_1")
    assert alone.slots == 0 and alone.task.name == "style_1"
    assert sum(x.size for x in alone.params.values()) < sum(x.size for x in whole.params.values())
    x, _ = whole.example()
    vector = np.tile(alone.task.vector, (len(x), 1))
    np.testing.assert_allclose(alone(x, None), whole(x, vector), atol=1e-5)
    assert_equal(alone)


@pytest.mark.parametrize("method", ["piggyback1", *slowly("single", "shared_enc")])
def test_networks_of_a_task_each(method, tmp_path):
    whole = model(takeda.get_config(f"{method},tiny"), tmp_path)
    made = networks(whole)
    assert len(made) == 6 and all(network.slots == 0 for network in made)
    assert_equal(made[-1])
    assert_is_the_run(whole, made)


@pytest.mark.parametrize(
    "method", ["piggyback", *slowly("scratch", "decoder", "resblock", "resblock_piggyback")]
)
def test_continual_translation(method, tmp_path):
    """Masks are multiplied in; outputs have as many channels as their tasks."""
    whole = model(matsumoto.get_config(f"{method},tiny"), tmp_path)
    made = networks(whole)
    assert_is_the_run(whole, made)
    for network in (made[0], made[-1]):
        assert_equal(network)
        x, _ = network.example()
        assert network(x, None).shape[-1] == network.task.channels


ALONE = [(name,) for name in vit_continual.PARTS if "_rkr" not in name and name != "head"]
JOINED = [("prefixes", "rkr"), ("prompts", "deep_prompts", "lora"), ("adapters", "norm_film")]


@pytest.mark.parametrize("parts", [*JOINED, ("mask",), *slowly((), *ALONE)])
def test_a_vit_with_each_part(parts, tmp_path):
    config = vit_continual.get_config("head,embedded,tiny")
    config.vit.weights, config.parts.use = "", parts
    whole = model(config, tmp_path)
    made = networks(whole)
    assert [network.name for network in made] == ["shapes_1", "shapes_2", "digits"]
    assert_equal(made[-1])
    assert_is_the_run(whole, made)


@pytest.mark.parametrize("method", ["l2p", *slowly("dualprompt")])
def test_a_vit_with_a_pool(method, tmp_path):
    """Images pick their prompts, in PyTorch as in JAX; of DualPrompt the task is known."""
    config = vit_continual.get_config(f"{method},embedded,tiny")
    config.vit.weights, config.pool.size = "", 20
    whole = model(config, tmp_path)
    made = networks(whole)
    assert bool(made[-1].options["top"]) == (method == "l2p")
    assert_equal(made[-1])
    assert_is_the_run(whole, made)


@pytest.mark.parametrize("task", ["", "style_1"])
def test_whatever_it_was_trained_in_is_exported_in_float32(task, tmp_path):
    made = []
    for dtype in ("float32", "bfloat16"):
        config = told("film")
        config.dtype = dtype
        made += networks(model(config, tmp_path), task)
    x, c = made[0].example()
    np.testing.assert_array_equal(made[0](x, c), made[1](x, c))


@pytest.mark.parametrize("config", ["film", "unet", "resnet", "vit"])
def test_state_dicts_come_back_to_the_bit(config, tmp_path):
    made = {
        "film": lambda: told("film"),
        "unet": lambda: matsumoto.get_config("scratch,tiny"),
        "resnet": lambda: matsumoto.get_config("resblock,tiny"),
        "vit": lambda: vit_continual.get_config("prefixes,embedded,tiny"),
    }[config]()
    made.vit.weights = ""
    network = networks(model(made, tmp_path))[-1]
    state = to_state_dict(network.params, network.backbone)
    shapes = {name: x.shape for name, x in network.params.items()}
    back = from_state_dict(state, shapes, network.backbone, "a.safetensors")
    assert back.keys() == network.params.keys()
    assert all(np.array_equal(back[name], x) for name, x in network.params.items())


def test_another_networks_state_dict_is_refused_with_every_difference(tmp_path):
    network = networks(model(told("film"), tmp_path))[0]
    state = to_state_dict(network.params, network.backbone)
    shapes = {name: x.shape for name, x in network.params.items()}
    state["more.weight"] = state.pop("out.conv.weight")
    state["out.conv.bias"] = np.zeros(7, np.float32)
    fails(
        lambda: from_state_dict(state, shapes, network.backbone, "a.safetensors"),
        *(
            "a.safetensors",
            "extra more.weight",
            "missing out.conv.weight",
            "out.conv.bias has (7,)",
        ),
    )


@pytest.mark.parametrize("backbone", ["transform_net", "resnet", "unet", "vit"])
def test_a_module_stands_alone(backbone):
    """In one file of two pages that imports PyTorch only."""
    source = module_source(backbone)
    assert "taskfusion" not in source and source.count("\n") < 200
    names = {}
    exec(compile(source, backbone, "exec"), names)
    assert issubclass(names["Net"], torch.nn.Module)


def check(folder):
    """Runs the check as a stranger would: this library is not there."""
    line = [sys.executable, "-P", "check.py"]
    blocked = {**runs.environment(), "PYTHONPATH": str(folder)}
    return subprocess.run(line, cwd=folder, env=blocked, capture_output=True, text=True)


def test_the_folder_checks_itself(tmp_path):
    workdir, output = runs.finished()[0], tmp_path / "out"
    export(load(workdir), "torch", output, licence="CC0")
    assert sorted(p.name for p in output.iterdir()) == [
        *("README.md", "check.py", "files.json", "model.npz", "model.py", "model.safetensors")
    ]
    done = check(output)
    assert done.returncode == 0, done.stderr
    assert "taskfusion" not in (output / "model.py").read_text()
    card = (output / "README.md").read_text()
    for words in (
        "CC0",
        "| style_1 | 4 |",
        "restoration/psnr",
        "net(x, c)",
        "any sides that are multiples of 4, at least 8",
    ):
        assert words in card
    other = tmp_path / "other"
    export(load(workdir), "torch", other, task="style_1")
    assert check(other).returncode == 0
    assert "net(x)" in (other / "README.md").read_text()
    (output / "model.safetensors").write_bytes((other / "style_1.safetensors").read_bytes())
    assert check(output).returncode == 1
    (other / "style_1.npz").rename(other / "kept")
    assert check(other).returncode == 1  # nothing is compared
    with np.load(other / "kept") as given:
        arrays = {**given, "y": np.full_like(given["y"], np.nan)}
    np.savez(other / "style_1.npz", **arrays)
    assert check(other).returncode == 1


def test_what_a_task_alone_saves(tmp_path):
    """Parameters as counted here; the times are there."""
    for config in (told("film"), matsumoto.get_config("piggyback,tiny")):
        whole = model(config, tmp_path)
        name = list(whole.tasks)[-1]
        (alone,) = networks(whole, name)
        count = sum(x.size for x in alone.params.values())
        every = sum(x.size for x in jax.tree.leaves(whole.params))
        assert f"{name} alone: {count:,} parameters in place of {every:,}" in gain(whole, alone)
        assert count < every


@pytest.mark.parametrize(
    "config", ["piggyback", "ternary", *slowly("resblock_piggyback", "decoder", "vit")]
)
def test_what_tasks_share_is_written_once_and_masks_as_bits(config, tmp_path):
    if config == "vit":
        options = vit_continual.get_config("mask,embedded,tiny")
        options.vit.weights = ""
    else:
        options = matsumoto.get_config(f"{config.replace('ternary', 'piggyback')},tiny")
        options.piggyback.ternary = config == "ternary"
    whole = model(options, tmp_path)
    shared, apart = tmp_path / "shared", tmp_path / "apart"
    made = export(whole, "torch_shared", shared)
    export(whole, "torch", apart)
    assert check(shared).returncode == 0
    sizes = {
        folder: (folder / f"{made[-1].name}.safetensors").stat().st_size
        for folder in (shared, apart)
    }
    part = {"decoder": 0.9, "resblock_piggyback": 0.6}.get(config, 0.2)
    assert sizes[shared] < part * sizes[apart]


def test_nothing_shared_nothing_to_share(tmp_path):
    whole = model(takeda.get_config("single,tiny"), tmp_path)
    fails(lambda: export(whole, "torch_shared", tmp_path), "config.method=single", "use torch")
