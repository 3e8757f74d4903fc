"""A trained run as a function: the network's own numbers, for images of any size."""

import json
import shutil

import jax
import numpy as np
import pytest

import taskfusion_jax
from configs import matsumoto
from taskfusion_jax import train
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.inference.model import Model, load
from taskfusion_jax.inference.restored import restore_run
from tests import test_streams
from tests.engine import runs
from tests.fails import fails


def noise(*shape):
    return np.random.default_rng(0).random((*shape, 3), np.float32)


@pytest.fixture(scope="module")
def film():
    """A network that does six tasks at any strength, and its combinations."""
    return taskfusion_jax.load(runs.finished()[0], batch=2)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("vit") / "run"
    assert train.run(test_streams.config("prefixes"), workdir) == 0
    return load(workdir, batch=3)


def direct(workdir, x, c):
    """The network itself, on images of sides that it takes."""
    experiment, _, state, _ = restore_run(workdir)
    params = experiment.eval_params(state)
    return experiment.method.run(experiment.method.pick(params, c), x, np.tile(c, (len(x), 1)))


def test_it_is_the_network(film):
    x = noise(3, 64, 32)
    made = film(x, restoration=1, style_1=0.6)
    vector = np.zeros(film.method.slots, np.float32)
    vector[film.tasks["restoration"].slot], vector[film.tasks["style_1"].slot] = 1, 0.6
    expected = np.clip(direct(runs.finished()[0], x, vector), 0, 1)
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert made.dtype == np.float32 and made.std() > 0


def test_bytes_and_single_images_too(film):
    x = np.rint(noise(40, 33) * 255).astype(np.uint8)
    made = film(x, completion=1)
    assert made.shape == x.shape
    np.testing.assert_allclose(made, film(x[None] / np.float32(255), completion=1)[0], atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 31, 33, 65])
def test_any_size_comes_out_as_it_went_in(film, side):
    assert film(noise(side, 40), style_1=1).shape == (side, 40, 3)


def test_the_middle_of_a_filled_up_image_is_that_of_the_reflected_one(film):
    """What lies beyond the image is its reflection, and is cut off."""
    x = noise(1, 60, 32)
    whole = np.pad(x, ((0, 0), (0, 4), (0, 0), (0, 0)), mode="reflect")
    made = film(whole, restoration=1)[:, :60]
    np.testing.assert_allclose(film(x, restoration=1), made, atol=1e-5)


def test_images_of_all_sizes_in_their_order(film):
    images = [noise(h, w) for h, w in ((20, 20), (100, 40), (20, 20), (33, 20), (20, 20))]
    strengths = [{"style_1": i / 4} for i in range(5)]
    made = list(film.stream(zip(images, strengths, strict=True)))
    for image, how, one in zip(images, strengths, made, strict=True):
        np.testing.assert_allclose(one, film(image, **how), atol=1e-5)


def test_sizes_in_turn_fill_batches(film, monkeypatch):
    sizes, filled, run = [(32, 32), (64, 32)] * 2, [], film._run
    monkeypatch.setattr(film, "_run", lambda pieces: (filled.append(len(pieces)), run(pieces)))
    made = list(film.stream((noise(h, w), {"style_1": 1}) for h, w in sizes))
    assert [x.shape[:2] for x in made] == sizes
    assert filled == [2, 2]
    monkeypatch.setattr("taskfusion_jax.inference.model.HELD", 0)
    again = list(film.stream((noise(h, w), {"style_1": 1}) for h, w in sizes))
    assert filled[2:] == [1, 1, 1, 1]
    for one, other in zip(made, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_large_pieces_make_small_batches(film, monkeypatch):
    monkeypatch.setattr("taskfusion_jax.inference.model.AT_ONCE", 64 * 32)
    filled, run = [], film._run
    monkeypatch.setattr(film, "_run", lambda pieces: (filled.append(len(pieces)), run(pieces)))
    sizes = [(64, 32)] * 2 + [(32, 32)] * 2 + [(64, 64)]
    assert len(list(film.stream((noise(h, w), {"style_1": 1}) for h, w in sizes))) == 5
    assert filled == [1, 1, 2, 1]


def test_other_parameters_are_used_from_then_on():
    model, x = load(runs.finished()[0]), noise(32, 32)
    before, kept = model(x, style_1=1), model.params
    model.params = jax.tree.map(lambda p: 1.1 * p, kept)
    assert np.abs(model(x, style_1=1) - before).max() > 1e-3
    model.params = kept
    np.testing.assert_array_equal(model(x, style_1=1), before)


def blended(tiles, height, width, side, overlap):
    """Naively: each pixel the mean of the tiles over it, weighted by the way to their edges that
    have a neighbour."""
    total, weights = np.zeros((height, width, 3)), np.zeros((height, width, 1))

    def weight(place, start, end):
        near = [] if start == 0 else [place - start + 1]
        near += [] if start + side >= end else [start + side - place]
        return min([1, *(n / (overlap + 1) for n in near)])

    for (top, left), tile in tiles.items():
        for i in range(top, min(top + side, height)):
            for j in range(left, min(left + side, width)):
                share = weight(i, top, height) * weight(j, left, width)
                total[i, j] += share * tile[i - top, j - left]
                weights[i, j] += share
    return total / weights


def test_large_images_are_done_in_pieces():
    model = load(runs.finished()[0], tile=64, batch=2)
    image = noise(150, 70)
    made = model(image, restoration=0.5)
    places = [(top, left) for top in (0, 29, 57, 86) for left in (0, 6)]
    tiles = {(i, j): model(image[i : i + 64, j : j + 64], restoration=0.5) for i, j in places}
    np.testing.assert_allclose(made, blended(tiles, 150, 70, 64, 32), atol=1e-5)
    assert model.programs == 2  # full batches, and one piece alone


def test_fifty_wishes_compile_one_program(film):
    film(noise(32, 32), reconstruction=1)
    before, rng = film.programs, np.random.default_rng(1)
    for _ in range(50):
        names = rng.choice(list(film.tasks), size=2, replace=False)
        film(noise(32, 32), **{str(name): float(rng.random()) for name in names})
    assert film.programs == before


def test_zero_of_a_task_is_the_identitys_vector(film):
    x = noise(32, 32)
    np.testing.assert_array_equal(film(x, style_1=0), film(x, reconstruction=1))


@pytest.mark.parametrize(
    ("strengths", "words"),
    [
        ({}, ("name a task", "restoration")),
        ({"stile_1": 1}, ("no task 'stile_1'", "did you mean 'style_1'")),
        ({"style_1": 1.2}, ("style_1=1.2", "between 0 and 1")),
        ({"style_1": -0.1}, ("style_1=-0.1",)),
        ({"style_1": float("nan")}, ("style_1=nan",)),
        ({"restoration+style_1": 1}, ("by its parts", "restoration=1,style_1=1")),
    ],
)
def test_wishes_that_make_no_sense(film, strengths, words):
    fails(lambda: film(noise(32, 32), **strengths), *words)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (noise(32, 32)[..., :1], ("[1, 32, 32, 1]", "channels last")),
        (noise(32, 32) * 255, ("reach from", "divide by 255")),
        (np.full((32, 32, 3), np.nan, np.float32), ("reach from nan",)),
        (np.zeros((32, 32, 3), np.int64), ("int64",)),
        (np.zeros((0, 32, 32, 3), np.uint8), ("[0, 32, 32, 3]",)),
    ],
)
def test_images_that_are_none(film, images, words):
    fails(lambda: film(images, style_1=1), "images must be", *words)


def test_nothing_is_said_when_a_run_is_opened(caplog):
    load(runs.finished()[0])
    assert not caplog.records


def test_a_folder_without_a_run(tmp_path):
    fails(lambda: load(tmp_path / "nothing"), "no run here")
    assert not (tmp_path / "nothing").exists()


def test_labels_are_probabilities_of_the_middle(vit):
    assert list(vit.tasks) == ["few", "some", "more"]
    assert [len(vit.classes[name]) for name in vit.tasks] == [2, 3, 4]
    x = noise(4, 32, 32)
    made = vit(x, some=1)
    assert made.shape == (4, 3)
    np.testing.assert_allclose(made.sum(axis=1), 1, atol=1e-6)
    experiment, _, state, _ = restore_run(vit.workdir)
    x = np.rint(x * 255).astype(np.float32) / 255
    vector = experiment.tasks["some"].vector
    params = experiment.method.pick(experiment.eval_params(state), vector)
    scores = experiment.method.run(params, x, vector[None])[:, :3]
    np.testing.assert_allclose(made, jax.nn.softmax(scores), atol=1e-5)
    wide = np.pad(x, ((0, 0), (0, 0), (10, 10), (0, 0)))
    np.testing.assert_allclose(vit(wide, some=1), made, atol=1e-5)


def test_one_set_of_parameters_does_one_task_at_full_strength(vit):
    fails(lambda: vit(noise(32, 32), some=0.5), "strength 1")
    fails(lambda: vit(noise(32, 32), some=1, few=1), "makes no image")
    fails(lambda: vit(noise(32, 32), some=0), "strength 1")


def test_tasks_that_have_parameters_of_their_own_are_done_alone():
    """What cannot be done is told by name."""
    experiment = Experiment(matsumoto.get_config("piggyback,tiny"))
    params = experiment.eval_params(experiment.init_state())
    model = Model(experiment, params, experiment.stages, {}, "none")
    fails(lambda: model.vector({"style_1": 1, "style_2": 1}), "style_1, style_2", "ask for one")
    fails(lambda: model.vector({"style_1": 0.5}), "style_1", "strength 1")
    assert model.vector({"style_1": 1, "style_2": 0}).sum() == 1


def test_a_run_of_another_version_is_told(tmp_path):
    shutil.copytree(runs.finished()[0], tmp_path / "old")
    config = json.loads((tmp_path / "old/config.json").read_text())
    del config["stages"]["single"]["replay"]
    (tmp_path / "old/config.json").write_text(json.dumps(config))
    fails(lambda: load(tmp_path / "old"), "config.json", "another version", "replay")
