"""Labels, mixup and RandAugment in batches: against naive NumPy, the same for any workers."""

import hashlib
import itertools

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from taskfusion_jax.data import pipeline
from taskfusion_jax.data.augment import Augment
from taskfusion_jax.data.mixup import Mixup
from taskfusion_jax.data.pipeline import Corrupt, Crop, Rows, train_batches
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.tasks.completion import Completion
from taskfusion_jax.tasks.reconstruction import Reconstruction
from tests.data.test_pipeline import TURNS as OLD_TURNS
from tests.fails import fails

SAME = Reconstruction("same", (), 4, {"l2": 1.0})
FILL = Completion("fill", (1,), 4, {"l2": 1.0}, (1, 1), (0.5, 0.5), (1.0, 0.0, 1.0))
TURNS = [SAME] * 4 + [FILL] * 2


class Flat:
    """Image i is of one level, 10 i, and of class i % 3."""

    has_masks, classes, labels = False, 0, ("a", "b", "c")

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return {"image": np.full((16, 16, 3), 10 * index, np.uint8), "label": index % 3}

    def __repr__(self):
        return "Flat()"


def data(**changes):
    defaults = {"size": 16, "scale": 0.6, "foreground": (), "workers": 0, "threads": 2}
    defaults |= {"prefetch": 2, "flip": True, "augment": 0, "augment_strength": 9, "mixup": 0.0}
    return ConfigDict({**defaults, **changes})


def train(count, source=None, turns=TURNS, start=0, **changes):
    groups = changes.pop("groups", 2)
    options = {"groups": groups, "seed": 5, "start": start}
    shard = {name: changes.pop(name) for name in ("process", "processes") if name in changes}
    rows = [Rows(source or Flat(), tuple(turns), data(**changes))]
    batches = train_batches(rows, **options, **shard)
    return list(itertools.islice(batches, count))


def from_test(source, **changes):
    batches = pipeline.test_batches(source, SAME, data(**changes), count=6, batch=4, seed=1)
    return list(batches)


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        assert set(one) == set(other) == {"input", "clean", "mask", "label", "share"}
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_batches_tell_the_class_of_every_row():
    for batch in train(3):
        assert batch["label"].shape == (2, 6, 2) and batch["label"].dtype == np.int32
        assert batch["share"].shape == (2, 6) and batch["share"].dtype == np.float32
        place = batch["clean"][:, :, 0, 0, 0] // 10
        np.testing.assert_array_equal(batch["label"], np.stack([place % 3] * 2, -1))
        assert (batch["share"] == 1).all() and not batch["mask"].any()
    sizes = []
    for batch in from_test(Flat()):
        sizes.append(len(batch["label"]))
        np.testing.assert_array_equal(batch["label"][:, 0], batch["clean"][:, 0, 0, 0] // 10 % 3)
        assert batch["label"].dtype == np.int32 and batch["share"].dtype == np.float32
        assert (batch["share"] == 1).all()
    assert sizes == [4, 2]


def test_without_labels_they_are_0():
    source = Scenes("train", 16, 9, 0, 1)
    for batch in (*train(1, source), *from_test(source)):
        assert batch["label"].dtype == np.int32 and not batch["label"].any()
        assert (batch["share"] == 1).all()


def group(rows, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, rows, 4, 4, 3), np.uint8)
    label = rng.integers(0, 9, rows, np.int32)
    return {
        "input": images[0],
        "clean": images[1],
        "mask": np.zeros((rows, 4, 4), np.uint8),
        "label": np.stack([label] * 2, 1),
        "share": np.ones(rows, np.float32),
    }


def test_mixup_against_naive_numpy():
    turns = ("x", "x", "y", "x", "y", "z")
    for seed in range(20):
        before = group(len(turns), seed)
        after = Mixup(turns, 0.4).random_map(before, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        other = {5: 5}
        for rows in ([0, 1, 3], [2, 4]):
            shift = int(rng.integers(1, len(rows)))
            other |= {row: rows[i - shift] for i, row in enumerate(rows)}
        shares = rng.beta(0.4, 0.4, 6)
        for row in range(6):
            share = np.float32(shares[row] if other[row] != row else 1)
            assert after["share"][row] == share
            wanted = before["label"][row, 0], before["label"][other[row], 0]
            assert tuple(after["label"][row]) == wanted
            for key in ("input", "clean"):
                own, mate = (before[key][i].astype(np.float64) for i in (row, other[row]))
                exact = float(share) * own + (1 - float(share)) * mate
                assert np.abs(after[key][row] - exact).max() <= 0.5001
                assert after[key].dtype == np.uint8
        np.testing.assert_array_equal(after["mask"], before["mask"])
        assert after["label"].dtype == np.int32 and after["share"].dtype == np.float32


def test_mixed_batches_hold_mixtures_of_rows_of_one_task():
    plain, mixed = train(4), train(4, mixup=0.5)
    shares = []
    for before, after in zip(plain, mixed, strict=True):
        np.testing.assert_array_equal(before["label"][..., 0], after["label"][..., 0])
        level = before["clean"][:, :, 0, 0, 0].astype(float)
        for g, row in np.ndindex(2, 6):
            mates = [r for r in range(6) if TURNS[r] is TURNS[row] and r != row]
            share = after["share"][g, row]
            mixtures = {round(share * level[g, row] + (1 - share) * level[g, r]): r for r in mates}
            value = int(after["clean"][g, row, 0, 0, 0])
            (mate,) = [r for v, r in mixtures.items() if abs(v - value) <= 1][:1]
            found = after["label"][g, row, 1]
            assert found in {before["label"][g, r, 0] for r in mates}
            if len(mixtures) == len(mates) and sum(abs(v - value) <= 1 for v in mixtures) == 1:
                assert found == before["label"][g, mate, 0]
        shares += after["share"].ravel().tolist()
    assert np.std(shares) > 0.2 and 0.3 < np.mean(shares) < 0.7


def test_shares_are_of_the_beta_distribution():
    one = group(50)
    mixed = Mixup(("x",) * 50, 0.3)
    shares = np.concatenate(
        [mixed.random_map(one, np.random.default_rng(i))["share"] for i in range(80)]
    )
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.3 + 1)), rel=0.05)  # of Beta(a, a)


CHANGES = {"mixup": 0.4, "augment": 2, "augment_strength": 9}


class Pictures(Flat):
    def __getitem__(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), np.uint8)
        return {"image": pixels, "label": index % 3}


@pytest.fixture(scope="module")
def expected():
    return train(4, Pictures(), **CHANGES)


def test_batches_are_a_function_of_their_number(expected):
    assert_same(train(2, Pictures(), start=2, **CHANGES), expected[2:])
    other = train(1, Pictures(), **CHANGES | {"mixup": 0.0})[0]
    assert (other["clean"] != expected[0]["clean"]).any()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_matter(expected, workers):
    assert_same(train(4, Pictures(), workers=workers, **CHANGES), expected)


def test_processes_share_the_rows_of_the_whole_batch():
    whole = train(2, Pictures(), groups=4, **CHANGES)
    parts = [train(2, Pictures(), groups=4, process=p, processes=2, **CHANGES) for p in (0, 1)]
    for batch, *both in zip(whole, *parts, strict=True):
        for key, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([part[key] for part in both]), value)


def test_tests_are_neither_augmented_nor_mixed_nor_mirrored():
    assert_same(from_test(Pictures(), **CHANGES, flip=False), from_test(Pictures()))


def test_augmented_images_are_crops_after_operations(monkeypatch):
    """Without draws in the crop, the operations alone tell augmented images from others."""
    plain = train(2, Flat(), flip=False)
    bright = train(2, Flat(), flip=False, augment=3)
    changed = [(a["clean"] != b["clean"]).any() for a, b in zip(plain, bright, strict=True)]
    assert all(changed)
    monkeypatch.setattr(Augment, "random_map", lambda self, element, rng: element)
    for one, other in zip(train(2, Flat(), flip=False, augment=3), plain, strict=True):
        np.testing.assert_array_equal(one["clean"], other["clean"])


@pytest.mark.parametrize("field", ["mixup", "augment"])
def test_images_without_labels_are_not_mixed(field):
    source = Scenes("train", 16, 9, 0, 1)
    fails(lambda: train(1, source, **{field: 1}), f"config.data.{field}=1", "no labels", "Scenes(")


def test_crops_that_are_not_mirrored():
    pixels = np.arange(40)[None, :, None] * np.ones((30, 1, 3), np.uint8)
    example = {"image": pixels.astype(np.uint8), "label": 2}
    for seed in range(30):
        out = Crop(16, 0.6, True, flip=False).random_map(example, np.random.default_rng(seed))
        row = out["image"][0, :, 0].astype(int)
        assert (np.diff(row) >= 0).all() and out["label"] == 2
    out = Corrupt((SAME,), ()).random_map((0, out), np.random.default_rng(0))
    assert out["label"].tolist() == [2, 2] and out["share"] == 1


def test_a_crop_draws_share_place_and_flip_in_this_order():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for seed in range(20):
        out = Crop(16, 0.6, True).random_map({"image": pixels}, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        side = max(16, round(rng.uniform(0.6, 1) * 30))
        top, left = rng.integers(0, 31 - side), rng.integers(0, 41 - side)
        part = Image.fromarray(pixels[top : top + side, left : left + side].copy())
        wanted = np.asarray(part.resize((16, 16), Image.Resampling.LANCZOS))
        wanted = wanted[:, ::-1] if rng.random() < 0.5 else wanted
        np.testing.assert_array_equal(out["image"], wanted)


class Ramps:
    """Images that nothing resizes, so that no version of Pillow changes them."""

    has_masks, classes, labels = True, 0, ()

    def __len__(self):
        return 7

    def __getitem__(self, index):
        levels = (37 * index + np.arange(16 * 16 * 3).reshape(16, 16, 3)) % 256
        mask = (levels[..., 0] > 99).astype(np.uint8)
        return {"image": levels.astype(np.uint8), "mask": mask}


def test_batches_without_labels_are_those_of_the_time_before_labels():
    batches = train(2, Ramps(), OLD_TURNS)
    batches += pipeline.test_batches(Ramps(), FILL, data(), count=2, batch=2, seed=5)
    digest = hashlib.sha256()
    for batch in batches:
        for key in ("input", "clean", "mask"):
            digest.update(np.ascontiguousarray(batch[key]).tobytes())
    assert digest.hexdigest() == "9e87e4168db34e5847bf7644cbd9fb1bd2810f4bff714222eba1361181f803e1"
