"""The embedded scenes: pure, exact, and from disjoint photographs."""

import dataclasses
import hashlib
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grain
import numpy as np
import pytest

from taskfusion_jax.data import photographs, scenes
from taskfusion_jax.data.photographs import PHOTOGRAPHS
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.data.shapes import SHAPES
from taskfusion_jax.errors import UserError


def source(split="train", size=32, length=1000, seed=0, max_objects=3):
    return Scenes(split, size, length, seed, max_objects)


def digest(example) -> str:
    return hashlib.sha256(example["image"].tobytes() + example["mask"].tobytes()).hexdigest()


def test_pure_function_of_the_index():
    scene = source()
    copy = pickle.loads(pickle.dumps(scene))
    indices = list(range(24))
    expected = [digest(scene[i]) for i in indices]
    assert len(set(expected)) == len(indices)
    assert [digest(copy[i]) for i in np.array(indices)] == expected
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda i: digest(scene[i]), indices)) == expected


def test_same_bytes_in_another_process():
    program = (
        "import hashlib; from taskfusion_jax.data.scenes import Scenes;"
        "e = Scenes('train', 32, 1000, 0, 3)[7];"
        "print(hashlib.sha256(e['image'].tobytes() + e['mask'].tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == digest(source()[7])


def test_seed_and_split_change_the_scene():
    assert len({digest(s[0]) for s in (source(), source(seed=1), source("test"))}) == 3


def test_serves_grain():
    scene = source(length=10)
    dataset = grain.MapDataset.source(scene)
    assert len(dataset) == len(scene) == 10
    assert digest(dataset[3]) == digest(scene[3])
    assert repr(scene) == "Scenes(split='train', size=32, length=10, seed=0, max_objects=3)"
    assert scene.has_masks


def test_splits_share_no_photograph():
    assert not set(PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["test"])
    for split, names in PHOTOGRAPHS.items():
        plans = [source(split).plan(i) for i in range(100)]
        backgrounds = {plan.background.name for plan in plans}
        textures = {item.texture.name for plan in plans for item in plan.items}
        assert backgrounds == textures == set(names)


def test_crops_stay_inside_their_photograph():
    for plan in (source().plan(i) for i in range(50)):
        crop = plan.background
        white = dataclasses.replace(crop, colours=(0, 0, 0, 255) * 3)
        assert (np.asarray(white.render(16, 16)) == 255).all()
        width, height = photographs.pyramid(crop.name)[0].size
        turn = np.array([[np.cos(crop.turn), -np.sin(crop.turn)],
                         [np.sin(crop.turn), np.cos(crop.turn)]])  # fmt: skip
        for corner in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            x, y = crop.centre + turn @ corner * crop.half
            assert -1e-6 <= x <= width + 1e-6
            assert -1e-6 <= y <= height + 1e-6


@pytest.mark.parametrize("size", [8, 33, 64, 130])
def test_any_resolution(size):
    example = source(size=size)[1]
    assert example["image"].shape == (size, size, 3)
    assert example["mask"].shape == (size, size)
    assert example["image"].dtype == example["mask"].dtype == np.uint8


def test_one_scene_at_every_resolution():
    small, large = source(size=64), source(size=128)
    for i in range(8):
        agree = small[i]["mask"] == large[i]["mask"][::2, ::2]
        assert agree.mean() > 0.95
        coarse = large[i]["image"].reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(small[i]["image"] - coarse).mean() < 12


def test_every_class_occurs_and_objects_cover_a_fair_share():
    for split in PHOTOGRAPHS:
        masks = np.stack([source(split)[i]["mask"] for i in range(120)])
        assert set(np.unique(masks)) == set(range(len(SHAPES) + 1))
        shares = (masks > 0).mean((1, 2))
        assert 0.25 < shares.mean() < 0.35
        assert shares.min() > 0.1
        assert shares.max() < 0.5


def test_up_to_max_objects():
    counts = {len(source(max_objects=4).plan(i).items) for i in range(60)}
    assert counts == {1, 2, 3, 4}


def on_flat(plan: scenes.Scene, level: int, size: int) -> np.ndarray:
    flat = dataclasses.replace(plan.background, colours=(0, 0, 0, level) * 3)
    image, _ = scenes.paint(dataclasses.replace(plan, background=flat), size)
    return np.asarray(image, int)


@pytest.mark.parametrize("size", [64, 101])
def test_mask_is_where_the_object_hides_the_background(size, monkeypatch):
    monkeypatch.setattr(scenes, "_SHADE", [0] * 256)
    for i in range(40):
        plan = source(max_objects=1).plan(i)
        mask = np.asarray(scenes.paint(plan, size)[1])
        shine = (on_flat(plan, 255, size) - on_flat(plan, 0, size)).mean(-1)
        kind = plan.items[0].kind + 1
        assert (mask[shine < 126] == kind).all()
        assert (mask[shine > 129] == 0).all()
        assert set(np.unique(mask)) == {0, kind}


def test_front_objects_hide_those_behind():
    for i in range(20):
        plan = source().plan(i)
        whole = np.asarray(scenes.paint(plan, 64)[1])
        expected = np.zeros_like(whole)
        for item in plan.items:
            alone = np.asarray(scenes.paint(dataclasses.replace(plan, items=(item,)), 64)[1])
            expected = np.where(alone > 0, alone, expected)
        np.testing.assert_array_equal(whole, expected)


def test_shadow_falls_on_the_background_only():
    darker = 0
    for i in range(10):
        plan = source(max_objects=1).plan(i)
        bare, _ = scenes.paint(dataclasses.replace(plan, items=()), 64)
        image, mask = scenes.paint(plan, 64)
        change = np.asarray(image, int).mean(-1) - np.asarray(bare, int).mean(-1)
        darker += (change[np.asarray(mask) == 0] < -8).sum()
    assert darker > 500


def test_wrong_settings_are_named():
    with pytest.raises(UserError, match=r"'trian'.*did you mean 'train'"):
        source(split="trian")
    for setting in ({"size": 4}, {"length": 0}, {"max_objects": 0}):
        with pytest.raises(UserError, match=next(iter(setting))):
            source(**setting)
    with pytest.raises(IndexError):
        source(length=5)[5]
    with pytest.raises(UserError, match=r"skimage/data/absent\.png not found"):
        photographs.pyramid("skimage/data/absent.png")
