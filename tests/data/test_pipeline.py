"""The pipeline: a function of the batch number alone, and pictures that stay with their masks."""

import itertools

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from taskfusion_jax.data import pipeline
from taskfusion_jax.data.chosen import Drawn, Spaced
from taskfusion_jax.data.pipeline import Corrupt, Crop, Rows, check_masks, train_batches
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.errors import UserError
from taskfusion_jax.tasks.completion import Completion
from taskfusion_jax.tasks.reconstruction import Reconstruction
from taskfusion_jax.tasks.restoration import Restoration
from taskfusion_jax.tasks.segmentation import Segmentation

LOSS = {"l2": 1.0}
SAME = Reconstruction("same", (), 4, LOSS)
FILL = Completion("fill", (1,), 4, LOSS, (1, 1), (0.5, 0.5), (1.0, 0.0, 1.0))
MEND = Restoration("mend", (2,), 4, LOSS, (0.1, 0.1), (0, 0), (0, 0))
CUT = Segmentation("cut", (3,), 4, LOSS, (0.5, 0.5, 0.5))
TURNS = [SAME, FILL, FILL, MEND, CUT]


def _data(**changes):
    defaults = {"size": 16, "scale": 0.6, "foreground": (), "workers": 0, "threads": 1}
    defaults |= {"prefetch": 2, "flip": True, "augment": 0, "augment_strength": 9, "mixup": 0.0}
    return ConfigDict({**defaults, **changes})


def _train(count, data=None, source=None, **options):
    source = source or Scenes("train", 24, 7, 0, 2)
    options = {"groups": 2, "seed": 5, "start": 0, **options}
    rows = [Rows(source, TURNS, data or _data())]
    return list(itertools.islice(train_batches(rows, **options), count))


def _assert_same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert set(one) == set(other) == {"input", "clean", "mask", "label", "share"}
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.fixture(scope="module")
def expected():
    return _train(4)


class Numbered:
    """Images that carry their index, with everything an object."""

    has_masks, classes, labels = True, 0, ()

    def __init__(self, length, side=16):
        self.length, self.side = length, side

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        shape = (self.side, self.side)
        return {"image": np.full((*shape, 3), index, np.uint8), "mask": np.ones(shape, np.uint8)}

    def __repr__(self):
        return f"Numbered({self.length}, {self.side})"


class Offset(Numbered):
    """Images that carry their index and something more."""

    def __init__(self, length, offset):
        super().__init__(length)
        self.offset = offset

    def __getitem__(self, index):
        item = super().__getitem__(index)
        return {**item, "image": item["image"] + np.uint8(self.offset)}


def test_shapes(expected):
    batch = expected[0]
    assert batch["input"].shape == batch["clean"].shape == (2, len(TURNS), 16, 16, 3)
    assert batch["mask"].shape == (2, len(TURNS), 16, 16)
    assert all(batch[key].dtype == np.uint8 for key in ("input", "clean", "mask"))


def test_another_seed_gives_other_batches(expected):
    assert (_train(1, seed=6)[0]["clean"] != expected[0]["clean"]).any()


@pytest.mark.parametrize("changes", [{"threads": 3}, {"threads": 0, "prefetch": 0}])
def test_threads_do_not_matter(expected, changes):
    _assert_same(_train(4, _data(**changes)), expected)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_matter(expected, workers):
    _assert_same(_train(4, _data(workers=workers)), expected)
    if workers == 2:
        _assert_same(_train(3, _data(workers=workers), start=1), expected[1:])


def test_starting_later_drops_batches(expected):
    for start in (1, 3):
        _assert_same(_train(4 - start, start=start), expected[start:])
    assert _train(1, start=10_000_000)[0]["input"].shape == expected[0]["input"].shape


def test_processes_share_the_rows_of_the_whole_batch(expected):
    """Two processes with two groups each of a global batch of four, one after the other."""
    whole = _train(3, groups=4)
    shards = [_train(3, groups=4, process=p, processes=2) for p in (0, 1)]
    for batch, *parts in zip(whole, *shards, strict=True):
        for key, value in batch.items():
            joined = np.concatenate([part[key] for part in parts])
            np.testing.assert_array_equal(joined, value)


def _two(**options):
    """Groups of three numbered images below 20 and two from 100 on."""
    few = Offset(30, 100)
    rows = [Rows(Numbered(20), (SAME,) * 3, _data()), Rows(few, (SAME, CUT), _data())]
    options = {"groups": 2, "seed": 5, "start": 0, **options}
    return list(itertools.islice(train_batches(rows, **options), 6))


def test_rows_of_a_batch_come_from_their_sources():
    batches = _two()
    values = np.stack([batch["clean"][..., 0, 0, 0] for batch in batches])
    assert (values[..., :3] < 20).all() and (values[..., 3:] >= 100).all()
    alone = train_batches([Rows(Numbered(20), (SAME,) * 3, _data())], groups=2, seed=5, start=0)
    first = np.stack([next(alone)["clean"][..., 0, 0, 0] for _ in range(6)])
    np.testing.assert_array_equal(values[..., :3], first)
    epoch = values[..., 3:].ravel()[:24]
    assert len(set(epoch)) == 24, "an image came twice within an epoch of its source"


def test_batches_of_several_sources_go_on_and_are_shared_by_processes():
    whole = _two()
    _assert_same(_two(start=2)[:4], whole[2:])
    shards = [_two(process=p, processes=2) for p in (0, 1)]
    for batch, *parts in zip(whole, *shards, strict=True):
        for key, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), value)


def test_a_drawn_part_is_the_same_for_a_seed():
    source = Numbered(50)
    some = Drawn(source, 8, seed=3)
    values = [int(item["image"][0, 0, 0]) for item in some]
    assert len(set(values)) == 8 == len(some)
    assert values == [int(item["image"][0, 0, 0]) for item in Drawn(source, 8, seed=3)]
    assert values != [int(item["image"][0, 0, 0]) for item in Drawn(source, 8, seed=4)]
    assert len(Drawn(source, 99, seed=3)) == 50


def test_rows_belong_to_their_tasks(expected):
    """What was done to each row tells whose it is."""
    for batch in expected:
        changed = (batch["input"] != batch["clean"]).any(-1)
        share = changed.mean(axis=(0, 2, 3))
        assert share[0] == share[4] == 0
        assert 0.2 < share[1] <= 0.25 and 0.2 < share[2] <= 0.25
        assert share[3] > 0.8
        for row in (1, 2):
            holes = batch["input"][:, row][changed[:, row]]
            assert (holes == [255, 0, 255]).all()


def test_an_epoch_shows_every_image_once_and_then_in_another_order():
    batches = _train(10, source=Numbered(20), groups=1)
    seen = np.concatenate([b["clean"][0, :, 0, 0, 0] for b in batches])
    first, second, third = seen[:20], seen[20:40], seen[40:]
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(20))
    assert (first != np.arange(20)).any() and (first != second).any()
    assert len(np.unique(third)) == len(third)


def test_fewer_images_than_rows():
    batches = _train(2, source=Numbered(3), groups=2)
    assert np.unique(batches[0]["clean"]).tolist() == [0, 1, 2]


def _drawn(height, width, rng):
    """A random mask of blocks, drawn into the red channel too; green and blue tell the place."""
    mask = np.kron(rng.integers(0, 2, (height // 4, width // 4)), np.ones((4, 4))).astype(np.uint8)
    y, x = np.mgrid[:height, :width].astype(np.uint8)
    return {"image": np.stack([255 * mask, y, x], axis=-1), "mask": mask}


@pytest.mark.parametrize("random", [True, False])
@pytest.mark.parametrize(("size", "scale"), [(24, 0.4), (40, 1.0), (16, 1.0)])
def test_a_crop_keeps_image_and_mask_together(size, scale, random):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        out = Crop(size, scale, random).random_map(_drawn(40, 56, rng), rng)
        assert out["image"].shape == (size, size, 3) and out["mask"].shape == (size, size)
        red = out["image"][..., 0].astype(int)
        sure = (red < 40) | (red > 215)  # where resampling did not mix the two
        assert sure.mean() > 0.5
        np.testing.assert_array_equal((red > 128)[sure], out["mask"][sure] == 1)


def test_random_crops_lie_anywhere_and_half_are_flipped():
    example = _drawn(40, 56, np.random.default_rng(0))
    crop, tops, lefts, flips = Crop(24, 0.6, True), set(), set(), []
    for seed in range(400):
        _, y, x = np.moveaxis(
            crop.random_map(example, np.random.default_rng(seed))["image"].astype(int), -1, 0
        )
        flips.append(x[0, 0] > x[0, -1])
        # At scale 0.6 the side is 24 to 40 pixels: rows and columns grow by 1 to 40 / 24.
        assert 23 <= y[-1, 0] - y[0, 0] <= 40 and (np.diff(y[:, 0]) >= 0).all()
        tops.add(y[0, 0])
        lefts.add(x[0].min())
    assert {min(tops), min(lefts)} == {0} and max(tops) > 12 and max(lefts) > 28
    assert 0.42 < np.mean(flips) < 0.58


def test_the_test_crop_is_the_centre():
    example = _drawn(40, 56, np.random.default_rng(0))
    out = Crop(40, 0.6, False).random_map(example, np.random.default_rng(0))
    np.testing.assert_array_equal(out["image"], example["image"][:, 8:48])
    np.testing.assert_array_equal(out["mask"], example["mask"][:, 8:48])
    half = Crop(20, 0.6, False).random_map(example, np.random.default_rng(1))
    centre = Image.fromarray(np.ascontiguousarray(example["image"][:, 8:48]))
    expected = np.asarray(centre.resize((20, 20), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(half["image"], expected)


@pytest.mark.parametrize(
    ("foreground", "expected"), [((), [0, 1, 1, 1, 255]), ((2, 7), [0, 0, 1, 1, 255])]
)
def test_foreground_ids_become_objects_and_void_stays(foreground, expected):
    ids = np.uint8([[0, 1, 2, 7, 255]])
    example = {"image": np.zeros((1, 5, 3), np.uint8), "mask": ids}
    out = Corrupt((SAME,), foreground).random_map((0, example), np.random.default_rng(0))
    np.testing.assert_array_equal(out["mask"], [expected])
    assert out["mask"].dtype == np.uint8


def test_without_masks_nothing_is_an_object():
    example = {"image": np.ones((4, 5, 3), np.uint8)}
    out = Corrupt((SAME, FILL), ()).random_map((2, example), np.random.default_rng(0))
    np.testing.assert_array_equal(out["mask"], np.zeros((4, 5)))
    np.testing.assert_array_equal(out["input"], example["image"])


def test_every_task_is_tested_on_the_same_images():
    source = Scenes("test", 24, 9, 0, 2)
    runs = [
        list(pipeline.test_batches(source, task, _data(), count=5, batch=2, seed=1))
        for task in (SAME, FILL, CUT)
    ]
    for run in runs:
        assert [len(batch["input"]) for batch in run] == [2, 2, 1]
    joined = [{k: np.concatenate([b[k] for b in run]) for k in run[0]} for run in runs]
    for key in ("clean", "mask"):
        np.testing.assert_array_equal(joined[0][key], joined[1][key])
        np.testing.assert_array_equal(joined[0][key], joined[2][key])
    for i, image in enumerate(joined[0]["clean"]):
        centre = Crop(16, 0.6, False).random_map(source[i], np.random.default_rng(0))["image"]
        np.testing.assert_array_equal(image, centre)


def test_testing_damages_images_alike_each_time_and_in_batches_of_any_size():
    source = Scenes("test", 16, 9, 0, 2)
    damaged = [
        np.concatenate(
            [
                b["input"]
                for b in pipeline.test_batches(source, FILL, _data(), count=5, batch=n, seed=1)
            ]
        )
        for n in (2, 5)
    ]
    np.testing.assert_array_equal(*damaged)


def test_tasks_that_need_masks_are_refused_without():
    source = Numbered(4)
    check_masks(source, TURNS)
    source.has_masks = False
    check_masks(source, [SAME, FILL, MEND])
    with pytest.raises(UserError, match=r"Numbered\(4, 16\) has no masks, which cut needs"):
        check_masks(source, TURNS)


@pytest.mark.parametrize(("count", "places"), [(3, [0, 4, 8]), (1, [0]), (20, list(range(9)))])
def test_chosen_images_are_spaced_evenly(count, places):
    source = Scenes("test", 16, 9, 0, 2)
    some = Spaced(source, count)
    assert len(some) == len(places) and some.has_masks and repr(some).endswith(repr(source))
    for i, place in enumerate(places):
        np.testing.assert_array_equal(some[i]["image"], source[place]["image"])
