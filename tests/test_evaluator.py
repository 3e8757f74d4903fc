"""The evaluator on a tiny untrained network, against metrics recomputed from its pictures."""

import jax
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from configs import quickstart
from taskfusion_jax.evaluator import Evaluator
from taskfusion_jax.experiment import Experiment

COUNT = 5  # with batches of 2 the last one is filled up
FILL = 0.6  # 153 of 255: pictures show targets without rounding
COMBINED = ("restoration+style_1", "restoration+segmentation", "segmentation+style_1")


class Blind:
    """A source whose masks are not told."""

    has_masks = False
    classes = 0
    labels = ()

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        return {"image": self.source[index]["image"]}

    def __repr__(self):
        return f"Blind({self.source!r})"


def _config(batch=2):
    """Every task and combination, judged without VGG16, which has tests of its own."""
    config = quickstart.get_config("tiny")
    for style in ("style_1", "style_2"):
        config.tasks[style].loss = {"l2": 1.0}
    config.tasks.segmentation.fill = (FILL,) * 3
    sizes = {"images": COUNT, "batch": batch, "pictures": COUNT, "frechet_layers": ()}
    config.evaluate.update(sizes)
    return config


@pytest.fixture(scope="module")
def params():
    """Random weights, so that every task has an output of its own."""
    shapes = jax.eval_shape(Experiment(_config()).method.init, jax.random.key(0))
    rng = np.random.default_rng(0)

    def draw(x):
        scale = min(0.5, np.prod(x.shape[:-1]) ** -0.5)
        return rng.normal(0, scale, x.shape).astype(np.float32)

    return jax.tree.map(draw, shapes)


@pytest.fixture(scope="module")
def results(params):
    return Evaluator(Experiment(_config()))(params, "M3")


@pytest.fixture(scope="module")
def masks():
    """Of the five test images, first and last among them, at the size of the pictures."""
    source = Experiment(_config()).source("test")
    places = [round(i * (len(source) - 1) / (COUNT - 1)) for i in range(COUNT)]
    return np.stack([source[i]["mask"] for i in places])


def _prefix(task):
    return f"{task}/M3" if "+" in task else task


def _pictures(results, task, kind):
    return results[1][f"{task}/{kind}"] / 255


TARGETED = ("reconstruction", "completion", "restoration", "segmentation", *COMBINED)


@pytest.mark.parametrize("task", TARGETED)
@pytest.mark.parametrize(("suffix", "shown"), [("", "output"), ("_identity", "input")])
def test_distances_are_those_of_the_pictures(results, task, suffix, shown):
    """Within the rounding of pictures to 8 bits."""
    image, target = _pictures(results, task, shown), _pictures(results, task, "target")
    assert image.shape == target.shape == (COUNT, 32, 32, 3)
    metrics = {key: results[0][f"{_prefix(task)}/{key}{suffix}"] for key in ("mse", "psnr", "ssim")}
    mse = np.mean((image - target) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(metrics["mse"], mse.mean(), atol=1e-5, rtol=5e-4)
    if mse.min() > 0:
        np.testing.assert_allclose(metrics["psnr"], np.mean(-10 * np.log10(mse)), atol=0.01)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    each = [
        structural_similarity(x, y, data_range=1, channel_axis=-1, **window)
        for x, y in zip(image, target, strict=True)
    ]
    np.testing.assert_allclose(metrics["ssim"], np.mean(each), atol=2e-3)


@pytest.mark.parametrize("suffix", ["", "_identity"])
@pytest.mark.parametrize("task", ["segmentation", "restoration+segmentation"])
def test_iou_is_that_of_the_pictures(results, masks, task, suffix):
    image = _pictures(results, task, "input" if suffix else "output")
    clean = _pictures(results, "reconstruction", "input")
    to_image, to_fill = (np.sum((image - x) ** 2, axis=-1) for x in (clean, FILL))
    found, wanted, known = to_image < to_fill, (masks > 0) & (masks < 255), masks != 255
    common = np.sum(found & wanted & known, axis=(1, 2))
    union = np.sum((found | wanted) & known, axis=(1, 2))
    metrics = {key: results[0][f"{_prefix(task)}/{key}{suffix}"] for key in ("iou", "iou_image")}
    np.testing.assert_allclose(metrics["iou"], common.sum() / union.sum(), atol=3e-3)
    np.testing.assert_allclose(metrics["iou_image"], np.mean(common / union), atol=3e-3)


def test_iou_of_a_stylised_cut_out_is_judged_against_the_stylised_image(results, masks):
    image = _pictures(results, "segmentation+style_1", "output")
    uncut = _pictures(results, "style_1", "output")
    found = np.sum((image - uncut) ** 2, -1) < np.sum((image - FILL) ** 2, -1)
    wanted = (masks > 0) & (masks < 255)
    expected = (found & wanted).sum() / (found | wanted).sum()
    np.testing.assert_allclose(results[0]["segmentation+style_1/M3/iou"], expected, atol=5e-3)


def test_combined_targets_build_on_the_networks_own_style(results, masks):
    styled = results[1]["style_1/output"]
    np.testing.assert_array_equal(results[1]["restoration+style_1/target"], styled)
    cut = np.where(masks[..., None] == 0, 153, styled)
    np.testing.assert_array_equal(results[1]["segmentation+style_1/target"], cut)


def test_doing_nothing_reconstructs_perfectly(results):
    metrics = {key: results[0][f"reconstruction/{key}_identity"] for key in ("mse", "psnr", "ssim")}
    assert metrics["mse"] == 0 and metrics["psnr"] == 100
    np.testing.assert_allclose(metrics["ssim"], 1, atol=1e-6)


def test_the_batch_size_does_not_matter(params, results):
    """An image that fills up the last batch must not count twice."""
    metrics, pictures, _ = Evaluator(Experiment(_config(batch=COUNT)))(params, "M3")
    assert set(metrics) == set(results[0]) and set(pictures) == set(results[1])
    for name, value in results[0].items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-3, err_msg=name)


def test_sweeps_end_at_full_strength(results):
    _, pictures, sweeps = results
    assert set(sweeps) == {"completion", "restoration", "segmentation", "style_1", "style_2"}
    for task, sweep in sweeps.items():
        assert sweep["strengths"] == [0, 0.5, 1]
        assert sweep["distances"][-1] == 0 and min(sweep["distances"][:-1]) > 0
        np.testing.assert_array_equal(pictures[f"{task}/sweep"][-1], pictures[f"{task}/output"][0])


def _near(a, b):
    """Equal but for one level of rounding: a batch of another size is another program."""
    np.testing.assert_allclose(a.astype(int), b.astype(int), atol=1)


@pytest.mark.parametrize("task", COMBINED)
def test_corners_of_the_grid_of_two_tasks(params, results, task):
    evaluator = Evaluator(Experiment(_config()))
    grid, tasks = results[1][f"{task}/pair"], evaluator.experiment.tasks
    assert grid.shape == (2, 2, 32, 32, 3)
    _near(grid[1, 1], results[1][f"{task}/output"][0])
    down, right = (part.vector for part in tasks[task].parts)
    _, batch = next(evaluator.batches(tasks[task], 1))
    for corner, vector in ((grid[0, 0], 0 * down), (grid[1, 0], down), (grid[0, 1], right)):
        alone = evaluator.experiment.method.apply(params, batch["input"][:1], vector[None])
        _near(corner, np.round(255 * np.clip(alone[0], 0, 1)))
    if task.startswith("restoration"):
        _near(grid[1, 0], results[1]["restoration/output"][0])


def test_tasks_that_need_masks_are_skipped_without(params, results, monkeypatch):
    experiment, whole = Experiment(_config()), results[0]
    source = Blind(experiment.source("test"))
    monkeypatch.setattr(experiment, "source", lambda split, tasks: source)
    named = []
    metrics, pictures, _ = Evaluator(experiment)(params, "M3", named.append)
    assert named == [task for task in experiment.tasks if "segmentation" not in task]
    assert not [name for name in (*metrics, *pictures) if "segmentation" in name]
    kept = {name: value for name, value in whole.items() if "segmentation" not in name}
    assert set(metrics) == set(kept)
    for name, value in kept.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5)
