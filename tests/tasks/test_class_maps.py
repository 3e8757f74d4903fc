"""Classes as scores and as colours: against PyTorch, scikit-learn and PASCAL VOC's colours."""

import jax
import numpy as np
import pytest
import torch
from ml_collections import ConfigDict
from sklearn.metrics import accuracy_score, jaccard_score

from taskfusion_jax.data.pipeline import Corrupt
from taskfusion_jax.errors import UserError
from taskfusion_jax.measures import reduce
from taskfusion_jax.metrics.iou import class_counts, mean_iou
from taskfusion_jax.tasks import losses
from taskfusion_jax.tasks.class_maps import ClassScores, PaintedClasses, palette
from taskfusion_jax.tasks.losses import Rows
from taskfusion_jax.tasks.registry import build_tasks
from taskfusion_jax.tasks.segmentation import Segmentation

VOC = (
    *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)),
    *((0, 128, 128), (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0)),
    *((64, 0, 128), (192, 0, 128), (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0)),
    *((0, 192, 0), (128, 192, 0), (0, 64, 128)),
)
SCORES = ClassScores("scores", (1,), 3, {"cross_entropy": 1.0}, 5)
PAINTED = PaintedClasses("painted", (2,), 3, {"l2": 1.0}, 21)


def _mask(classes, shape=(3, 6, 7), void=0.3):
    rng = np.random.default_rng(1)
    ids = rng.integers(0, classes, shape)
    return np.where(rng.random(shape) < void, 255, ids).astype(np.uint8)


def _rows(task, output, target=None, mask=None):
    return Rows(task, output, None, target, mask)


def test_colours_are_those_of_pascal_voc():
    np.testing.assert_array_equal(np.round(255 * palette(21)), VOC)
    assert palette(5).dtype == np.float32
    assert len({tuple(colour) for colour in palette(256)}) == 256


def test_cross_entropy_equals_pytorch():
    """Values and gradients; ours is a mean over images, whose void pixels differ in number."""
    scores = np.random.default_rng(0).normal(0, 3, (3, 6, 7, 5)).astype(np.float32)
    mask = _mask(5)
    assert len({(one == 255).sum() for one in mask}) == 3
    twin = torch.from_numpy(scores.transpose(0, 3, 1, 2).copy()).requires_grad_()
    wanted = torch.from_numpy(mask.astype(np.int64))
    ours, gradient = jax.value_and_grad(
        lambda scores: losses.cross_entropy(_rows(SCORES, scores, mask=mask))
    )(scores)
    each = [
        torch.nn.functional.cross_entropy(twin[i : i + 1], wanted[i : i + 1], ignore_index=255)
        for i in range(3)
    ]
    theirs = torch.stack(each).mean()
    theirs.backward()
    np.testing.assert_allclose(ours, theirs.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, twin.grad.permute(0, 2, 3, 1), atol=1e-6)


@pytest.mark.parametrize("term", ["l1", "l2", "cross_entropy"])
def test_void_is_judged_nowhere(term):
    """Each image's mean over its own pixels that are not void, against NumPy."""
    rng = np.random.default_rng(0)
    task, mask = (SCORES if term == "cross_entropy" else PAINTED), _mask(5)
    mask[2] = 255  # nothing to judge at all
    output, target = rng.random((2, *mask.shape, task.channels), np.float32)
    if term == "cross_entropy":
        chances = np.exp(output) / np.exp(output).sum(-1, keepdims=True)
        ids = np.where(mask == 255, 0, mask)[..., None]
        error = -np.log(np.take_along_axis(chances, ids, -1)[..., 0])
    else:
        error = (np.abs(output - target) ** int(term[1])).mean(-1)
    means = [one[ids != 255].mean() for one, ids in zip(error[:2], mask, strict=False)]
    value, gradient = jax.value_and_grad(
        lambda output: losses.TERMS[term](_rows(task, output, target, mask))
    )(output)
    np.testing.assert_allclose(value, sum(means) / 3, rtol=1e-5)
    assert np.array_equal(np.abs(gradient).sum(-1) > 0, mask != 255)


@pytest.mark.parametrize("task", [SCORES, PAINTED])
def test_a_class_map_is_read_off_its_target(task):
    mask = _mask(task.classes, void=0.1)
    target = task.target(None, mask, None)
    assert target.shape == (*mask.shape, task.channels)
    judged = mask != 255
    np.testing.assert_array_equal(task.class_map(target)[judged], mask[judged])
    # Less than half the way to any other colour, or to another class's score.
    noise = np.random.default_rng(2).uniform(-0.07, 0.07, target.shape).astype(np.float32)
    np.testing.assert_array_equal(task.class_map(target + noise)[judged], mask[judged])
    shown = np.round(255 * task.show(target, None))
    colours = np.round(255 * palette(task.classes))[np.where(judged, mask, 0)]
    np.testing.assert_array_equal(shown, colours)


def test_channels_are_classes_or_colours():
    assert (SCORES.channels, PAINTED.channels) == (5, 3)


def test_only_tasks_that_tell_classes_get_their_ids():
    cutting = Segmentation("cut", (3,), 4, {}, (0.5, 0.5, 0.5))
    ids = np.uint8([[0, 3], [20, 255]])
    example = {"image": np.zeros((2, 2, 3), np.uint8), "mask": ids}
    corrupt = Corrupt((SCORES, PAINTED, cutting), foreground=(20,))
    masks = [corrupt.random_map((i, example), None)["mask"] for i in range(3)]
    np.testing.assert_array_equal(masks[:2], [ids, ids])
    np.testing.assert_array_equal(masks[2], [[0, 0], [1, 255]])
    assert masks[0].dtype == masks[2].dtype == np.uint8


def test_mean_iou_and_accuracy_equal_scikit_learn():
    """Of 9 classes two are nowhere, one is found only and one is there only."""
    rng = np.random.default_rng(0)
    mask = _mask(6, (4, 8, 9))
    pred = np.where(rng.random(mask.shape) < 0.6, mask, rng.integers(1, 7, mask.shape))
    pred = np.where(pred == 255, 8, pred).astype(np.int32)  # in void, counted nowhere
    pred[pred == 0] = 1
    counts = jax.jit(class_counts, static_argnums=2)(pred, mask, 9)
    judged = mask != 255
    wanted, found = mask[judged], pred[judged]
    seen = sorted({*wanted, *found})
    assert seen == [0, 1, 2, 3, 4, 5, 6] and 0 not in found and 6 not in wanted
    for name, count, naive in (
        ("common", counts[0], lambda c: ((wanted == c) & (found == c)).sum()),
        ("union", counts[1], lambda c: ((wanted == c) | (found == c)).sum()),
        ("wanted", counts[2], lambda c: (wanted == c).sum()),
    ):
        assert count.shape == (4, 9), name
        np.testing.assert_array_equal(count.sum(0), [naive(c) for c in range(9)], name)
    # As the evaluator adds them up: in batches, of which each is a list of images.
    keys = ("class_common", "class_union", "class_wanted")
    values = {
        key: [np.asarray(count[:3]), np.asarray(count[3:])]
        for key, count in zip(keys, counts, strict=True)
    }
    metrics = reduce(values)
    expected = jaccard_score(wanted, found, labels=seen, average="macro", zero_division=0)
    assert metrics["miou"] == pytest.approx(expected, rel=1e-6)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(wanted, found), rel=1e-6)
    assert sorted(metrics) == ["accuracy", "miou"]


def test_of_nothing_but_void_the_mean_iou_is_one():
    assert mean_iou(np.zeros(3), np.zeros(3)) == 1
    void = np.full((1, 2, 2), 255, np.uint8)
    assert not any(count.any() for count in class_counts(np.ones((1, 2, 2), int), void, 3))


def _config(kind="class_scores", **loss):
    tasks = {"classes": {"kind": kind, "slot": 1, "loss": loss, "classes": 21}}
    return ConfigDict({"slots": 2, "tasks": tasks, "combined": {}})


def test_terms_without_weight_are_left_out():
    """So a comparison's run may switch off what its base has."""
    task = build_tasks(_config("painted_classes", cross_entropy=0.0, l2=10.0))["classes"]
    assert task.loss == {"l2": 10.0} and task.classes == 21 and task.channels == 3
    task = build_tasks(_config(cross_entropy=1.0))["classes"]
    assert task.loss == {"cross_entropy": 1.0} and task.channels == 21


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            _config("painted_classes", cross_entropy=1.0),
            "tasks.classes.loss: 'cross_entropy' needs scores of pixels; only .*'class_scores'",
        ),
        (_config(cross_entropi=1.0), "no loss term 'cross_entropi' .did you mean 'cross_entropy'"),
        (_config("class_score", l2=1.0), "kind: no 'class_score' .did you mean 'class_scores'"),
        (_config(content=1.0), "'content' needs a painting"),
    ],
)
def test_a_mistake_ends_in_one_line(config, message):
    with pytest.raises(UserError, match=message) as caught:
        build_tasks(config)
    assert "\n" not in str(caught.value)


def test_the_number_of_classes_must_be_told():
    config = _config(cross_entropy=1.0)
    del config.tasks.classes.classes
    with pytest.raises(UserError, match=r"config.tasks.classes: .*'classes'"):
        build_tasks(config)
