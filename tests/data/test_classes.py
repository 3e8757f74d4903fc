"""Classes chosen for a task, few images of each, and classes that two tasks have in common."""

import pickle

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from taskfusion_jax.data.chosen import Spaced
from taskfusion_jax.data.classes import Kept, check_disjoint, spread
from taskfusion_jax.data.pipeline import check_labels
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.data.sources import SOURCES, build_source
from taskfusion_jax.tasks.reconstruction import Reconstruction
from tests.fails import fails

NAMES = ("cat", "dog", "eel", "fox")
IDS = np.array([0, 1, 2, 3] * 25)


class Animals:
    """Images that carry their place; only items that are asked for are read."""

    has_masks, classes, labels, label_ids = False, 0, NAMES, IDS

    def __init__(self):
        self.read = []

    def __len__(self):
        return len(IDS)

    def __getitem__(self, index):
        self.read.append(index)
        return {"image": np.full((2, 2, 3), index, np.uint8), "label": int(IDS[index])}

    def __repr__(self):
        return "Animals()"


def places(kept):
    return [int(kept[i]["image"][0, 0, 0]) for i in range(len(kept))]


@pytest.mark.parametrize("keep", [("fox", "dog"), (3, 1), ("fox", 1)])
def test_classes_are_kept_and_renumbered_in_the_order_given(keep):
    kept = Kept(Animals(), keep, 0, seed=0)
    assert kept.labels == ("fox", "dog")
    assert not kept.source.read
    assert places(kept) == [i for i in range(100) if IDS[i] in (1, 3)]
    labels = [kept[i]["label"] for i in range(len(kept))]
    assert labels == kept.label_ids.tolist() == [{3: 0, 1: 1}[IDS[i]] for i in places(kept)]
    assert all(type(label) is int for label in labels)
    assert not kept.has_masks and kept.classes == 0
    assert repr(kept) == repr(pickle.loads(pickle.dumps(kept))) == "classes fox, dog of Animals()"


def test_all_classes_are_kept_where_none_is_named():
    kept = Kept(Animals(), (), 5, seed=0)
    assert kept.labels == NAMES and repr(kept).startswith("at most 5 of each of classes cat,")
    assert np.bincount(kept.label_ids).tolist() == [5] * 4


def test_a_name_goes_before_a_number():
    class Digits(Animals):
        labels = ("3", "2", "1", "0")

    assert Kept(Digits(), ("3",), 0, 0).label_ids.tolist() == [0] * 25
    assert places(Kept(Digits(), ("3",), 0, 0))[0] == 0
    assert places(Kept(Digits(), (3,), 0, 0))[0] == 3


def test_few_images_are_random_but_fixed_and_more_of_them_contain_fewer():
    def chosen(per_class, keep=(), seed=0):
        return places(Kept(Animals(), keep, per_class, seed))

    few, more = chosen(4), chosen(9)
    assert chosen(4) == few != chosen(4, seed=1)
    assert few == sorted(few) and set(few) < set(more)
    assert len(more) == 36 and chosen(1000) == list(range(100))
    assert few != sorted(i for c in range(4) for i in np.flatnonzero(c == IDS)[:4])
    assert set(chosen(4, keep=("fox", "cat"))) == {i for i in few if IDS[i] in (0, 3)}


def test_mistakes():
    source = Animals()
    fails(lambda: Kept(source, ("dgo",), 0, 0), "keep", "'dgo'", "did you mean 'dog'?", "Animals()")
    fails(lambda: Kept(source, (0, 4), 0, 0), "no class 4", "0..3")
    fails(lambda: Kept(source, (-1,), 0, 0), "no class -1", "0..3")
    fails(lambda: Kept(source, (1, "dog"), 0, 0), "class 1, 'dog', twice")
    scenes = Scenes("train", 16, 5, 0, 1)
    fails(lambda: Kept(scenes, (1,), 0, 0), "config.data.keep=(1,)", "no labels", "Scenes(")
    fails(lambda: Kept(scenes, (), 3, 0), "config.data.per_class=3", "no labels")
    source.labels = (*NAMES, "gnu")
    fails(lambda: Kept(source, ("gnu",), 0, 0), "no image of gnu", "config.data.keep")


def test_classes_are_divided_evenly_whatever_their_order():
    for ids in (IDS, np.sort(IDS), np.random.default_rng(0).permutation(IDS)):
        test = spread(ids, 0.2)
        assert np.bincount(ids[test]).tolist() == [5] * 4
        for id in range(4):
            assert np.flatnonzero(test[ids == id]).tolist() == [4, 9, 14, 19, 24]
    assert not spread(IDS, 0.0).any() and spread(IDS, 1.0).all()


def data(**changes):
    section = common.get_config().data
    section.update({"source": "digits", "size": 16, **changes})
    return section


def test_a_part_of_the_data_is_built_from_the_config():
    part = build_source(data(keep=(7, 2), per_class=3), "train", 0)
    assert part.labels == ("7", "2") and part.label_ids.tolist().count(0) == 3 == len(part) - 3
    other = build_source(data(keep=(7, 2), per_class=3), "train", 1)
    assert part.places.tolist() != other.places.tolist()
    assert part[0]["image"].shape == (27, 27, 3)  # room for crops of 0.6 of its side


def test_few_images_to_learn_from_leave_all_to_test():
    whole = build_source(data(), "test", 0)
    assert len(build_source(data(per_class=3), "test", 0)) == len(whole) == 355
    part = build_source(data(per_class=3, keep=(4,)), "test", 0)
    assert len(part) == (whole.label_ids == 4).sum()


def test_parts_of_one_data_set_share_it():
    parts = [build_source(data(keep=(i,)), "train", 0) for i in range(3)]
    assert parts[0].source is parts[1].source is parts[2].source
    assert build_source(data(), "train", 0) is parts[0].source
    for other in (
        build_source(data(size=32), "train", 0),
        build_source(data(), "test", 0),
        build_source(data(), "train", 1),
        build_source(data(source="shapes"), "train", 0),
    ):
        assert other is not parts[0].source


def test_shapes_are_a_source():
    section = data(source="shapes", keep=("star", "heart"), shapes={"length": 60})
    part = build_source(section, "train", 0)
    assert part.labels == ("star", "heart") and 0 < len(part) < 30
    assert {"shapes", "digits", "idx", "npz"} < set(SOURCES)


class Classifier(Reconstruction):
    labels = 4


def test_tasks_that_tell_classes_need_as_many():
    task = Classifier("animals", (), 4, {"l2": 1.0})
    check_labels(Animals(), [task])
    check_labels(Spaced(Animals(), 3), [task])
    check_labels(Scenes("train", 16, 5, 0, 1), [Reconstruction("same", (), 4, {})])
    fails(
        lambda: check_labels(Kept(Animals(), (0, 1), 0, 0), [task]),
        *("config.tasks.animals.labels=4", "2 classes", "cat, dog", "config.data_of.animals"),
    )
    fails(
        lambda: check_labels(Scenes("train", 16, 5, 0, 1), [task]),
        *("Scenes(", "no labels, which animals needs", "config.data_of.animals"),
    )


def sections(first, second, **changes):
    return {"a": data(**first), "b": data(**{**second, **changes})}


def test_tasks_with_classes_of_their_own():
    check_disjoint(sections({"keep": (0, 1)}, {"keep": (2,)}))
    check_disjoint(sections({"keep": ("0", "1")}, {"keep": ("2",)}))
    check_disjoint(sections({"keep": (0,)}, {"keep": (0,)}, source="shapes"))
    check_disjoint(sections({}, {}, source="shapes"))
    npz = [{"source": "npz", "npz": {"train": name}} for name in "xy"]
    check_disjoint(sections(*npz))
    following = common.following(data(keep=(0,)))
    check_disjoint({"a": data(keep=(1,)), "b": following, "c": data(source="shapes")})


def test_tasks_with_a_class_in_common():
    both = ("config.data_of.a.keep", "config.data_of.b.keep")
    fails(lambda: check_disjoint(sections({"keep": (0, 1)}, {"keep": (2, 1)})), *both, "class 1")
    names = sections({"keep": ("3", "4")}, {"keep": ("4",), "per_class": 2, "mixup": 0.2})
    fails(lambda: check_disjoint(names), *both, "class '4'")
    fails(lambda: check_disjoint(sections({"keep": (0,)}, {})), *both, "empty one keeps all")
    fails(lambda: check_disjoint(sections({}, {})), *both, "empty one keeps all")
    fails(lambda: check_disjoint(sections({"keep": (0,)}, {"keep": ("1",)})), *both, "by number")
    fails(lambda: check_disjoint(sections({"keep": (0,)}, {"keep": (1, "2")})), *both, "by number")
    three = {"a": data(keep=(0,)), "b": data(keep=(1,)), "c": ConfigDict(data(keep=(0,)))}
    fails(lambda: check_disjoint(three), "config.data_of.a.keep and config.data_of.c.keep")
