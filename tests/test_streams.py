"""Streams of classification tasks on one ViT, through the real loop."""

import json

import jax
import numpy as np
import pytest

from configs import vit_continual
from taskfusion_jax import compare, train
from taskfusion_jax.comparison import members
from taskfusion_jax.counts import count
from taskfusion_jax.engine import names
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stage_rows import stage_rows
from taskfusion_jax.stages import learnt_in
from taskfusion_jax.stored import StoredTasks
from tests.engine import runs
from tests.fails import fails

ORDER = ("few", "some", "more")
CLASSES = {"few": (0, 1), "some": (2, 3, 4), "more": (5, 6, 7, 8)}
ROWS = {"few": {"few": 8}, "some": {"few": 4, "some": 4}, "more": {"few": 2, "some": 2, "more": 4}}
FROZEN = (
    "prefixes_rkr",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("mask", "prefixes")),
)


def config(run, order=ORDER, weights="", steps=3):
    """A tiny ViT learns parts of the embedded digits."""
    stream = {
        name: {"source": "digits", "keep": CLASSES[name], "labels": len(CLASSES[name])}
        for name in order
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vit_continual.STREAMS, "embedded", lambda _: stream)
        made = vit_continual.get_config(f"{run},embedded,tiny")
    made.vit.weights = weights
    for name in order:
        made.stages[name].update({"steps": steps, "lr": 1e-2, "warmup": 0})
        made.stages[name].rows = ROWS[name] if run == "replay" else {name: 8}
        made.stages[name].replay = min(made.stages[name].replay, 6)
    made.evaluate.update({"images": 24, "batch": 12})
    return made


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """run -> its folder, each trained once."""
    folder, found = tmp_path_factory.mktemp("streams"), {}

    def workdir(run):
        if run not in found:
            assert train.run(config(run), folder / run) == 0
            found[run] = folder / run
        return found[run]

    return workdir


def matrix(workdir):
    return json.loads((workdir / "results.json").read_text())["matrix"]


def moved(workdir, first, last):
    """Names of the parameters that differ between the ends of two stages."""
    before, after = runs.saved(workdir, 3 * (first + 1)), runs.saved(workdir, 3 * (last + 1))
    common = [k for k in before if k in after and k.startswith("['params']")]
    return {k for k in common if before[k] != after[k]}


@pytest.mark.parametrize("run", FROZEN)
def test_old_tasks_stay_bit_identical(run, done):
    """Whatever freezes the base: parameters and every number measured."""
    workdir = done(run)
    for first, last, slots in ((0, 1, "3"), (1, 2, "4"), (0, 2, "34")):
        names = moved(workdir, first, last)
        assert names and all(any(f"['task_{s}']" in name for s in slots) for name in names)
    measured = matrix(workdir)
    for place, task in enumerate(ORDER):
        for later in ORDER[place:]:
            for key in ("accuracy", "nll"):
                assert measured[later][f"{task}/{key}"] == measured[task][f"{task}/{key}"]


@pytest.mark.slow
def test_fine_tuning_changes_what_was_learnt(done):
    workdir = done("finetune")
    assert any("['base']" in name for name in moved(workdir, 1, 2))
    measured = matrix(workdir)
    assert measured["more"]["few/nll"] != measured["few"]["few/nll"]
    assert "all_classes/accuracy_by_prototypes" not in measured["more"]


def test_replay_keeps_rows_of_earlier_tasks():
    made = vit_continual.get_config("replay,sets,small")
    experiment = Experiment(made)
    assert learnt_in(made) == {name: name for name in made.schedule}
    rows = [stage.options.rows.to_dict() for stage in experiment.stages]
    assert [sum(r.values()) for r in rows] == [32, 32, 32]
    assert rows[2] == {"cifar": 8, "fashion": 8, "digits": 16}


def test_replay_trains_old_heads_on_few_images(done):
    workdir = done("replay")
    assert any("['task_2']['head']" in name for name in moved(workdir, 0, 1))
    experiment = Experiment(config("replay"))
    last = stage_rows(experiment, experiment.stages[-1])
    assert [rows.turns[0].name for rows in last] == ["few", "some", "more"]
    assert [len(rows.turns) for rows in last] == [2, 2, 4]
    assert [len(rows.source) for rows in last[:2]] == [6, 6]
    again = stage_rows(experiment, experiment.stages[1])[0]
    assert [again.source.places.tolist()] == [last[0].source.places.tolist()]
    measured = matrix(workdir)
    assert measured["more"]["few/nll"] != measured["few"]["few/nll"]
    results = json.loads((workdir / "results.json").read_text())
    assert "stream/forgetting" in results["metrics"]


@pytest.mark.parametrize(
    ("run", "ways"),
    [
        ("prefixes", {"joint", "by_confidence", "by_prototypes"}),
        pytest.param(
            *("dualprompt", {"joint", "by_confidence", "by_keys", "by_prototypes"}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_classes_are_told_without_the_task(run, ways, done):
    measured = matrix(done(run))
    assert not any(key.startswith("all_classes/") for key in measured["few"])
    for stage in ("some", "more"):
        found = {k for k in measured[stage] if k.startswith("all_classes/accuracy_")}
        assert found == {f"all_classes/accuracy_{way}" for way in ways}
        for way in ways:
            right = measured[stage][f"all_classes/accuracy_{way}"]
            assert 0 <= right <= measured[stage][f"all_classes/task_found_{way}"] <= 1


def test_stored_tasks_do_what_was_trained_alone_and_mixed(done):
    """Rows of different tasks in one pass equal each task's rows apart."""
    workdir = done("prefixes")
    tasks = StoredTasks(workdir)
    images = np.random.default_rng(0).random((5, 32, 32, 3), np.float32)
    asked = ["some", "few", "more", "more", "few"]
    every = tasks.mixed(images, asked)
    assert every.shape == (5, 4)
    for row, name in enumerate(asked):
        tasks.switch(name)
        alone = tasks(images[row : row + 1])[0]
        assert len(alone) == len(CLASSES[name])
        np.testing.assert_allclose(every[row, : len(alone)], alone, atol=1e-5)
        assert np.isneginf(every[row, len(alone) :]).all()


@pytest.mark.slow
def test_mixed_rows_of_masks_too(done):
    tasks = StoredTasks(done("mask"))
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    every = tasks.mixed(images, ["few", "more"])
    tasks.switch("more")
    np.testing.assert_allclose(every[1, :4], tasks(images[1:])[0], atol=1e-5)
    fails(lambda: tasks.mixed(images, ["few"]), "2 images, but 1 names of tasks")


def test_a_run_begins_with_what_another_left(done, tmp_path):
    before = done("finetune")
    experiment = Experiment(config("prefixes", weights=str(before)))
    base = names.flatten(jax.device_get(experiment.init_state().params["net"]["base"]))
    left = runs.saved(before, 9)
    for name, x in base.items():
        key = "".join(f"['{part}']" for part in ("params", "net", "base", *name.split("/")))
        assert x.tobytes() == left[key]


def test_another_order_does_not_go_on(done):
    other = config("prefixes", order=("few", "more", "some"))
    fails(lambda: train.run(other, done("prefixes")), "schedule")


def test_class_splits_that_overlap_are_refused():
    made = config("prefixes")
    made.data_of.some.keep = (1, 2, 3)
    fails(lambda: Experiment(made), "data_of.few.keep and config.data_of.some.keep")


def test_class_counts_that_do_not_fit_are_refused(tmp_path):
    made = config("prefixes")
    made.tasks.some.labels = 7
    says = "config.tasks.some.labels=7", "has 3 classes"
    fails(lambda: train.run(made, tmp_path / "run"), *says)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_name_what_differs(done, tmp_path):
    made = config("prefixes", weights=str(done("finetune")))
    made.vit.variant = "mini/16"
    fails(lambda: train.run(made, tmp_path / "run"), "4 blocks of width 64", "6 of 128")


@pytest.mark.parametrize("arg", ["", "small,"])
@pytest.mark.parametrize(
    ("pair", "parts"), [("prefixes_rkr", ("prefixes", "rkr")), ("mask_rkr", ("mask", "rkr"))]
)
def test_a_pair_adds_no_more_than_the_larger_of_its_parts(arg, pair, parts):
    def added(run):
        return max(count(vit_continual.get_config(arg + run))["bytes_per_task"].values())

    assert 0.6 * max(map(added, parts)) < added(pair) <= max(map(added, parts))


@pytest.mark.parametrize("arg", ["", "small", "sets", "cifar10", "fashion_mnist", "tiny"])
def test_every_run_of_a_comparison_begins_with_the_pretrained_network(arg, tmp_path):
    runs = members(vit_continual.get_config(arg), tmp_path)
    assert next(iter(runs)) == ("pretrain", 0)
    before = str(tmp_path / "runs" / "pretrain_seed0")
    for (name, _), run in runs.items():
        assert run.vit.weights == ("" if name == "pretrain" else before)


def test_given_weights_take_the_place_of_the_pretraining(tmp_path):
    made = vit_continual.get_config("small")
    made.base.vit.weights = "B_16.npz"
    assert "pretrain" not in {name for name, _ in members(made, tmp_path)}
    made.base.vit.weights = "run:pretrian"
    fails(lambda: members(made, tmp_path), "run:pretrian", "did you mean 'pretrain'?")


def test_pools_take_no_parts_and_one_task_at_a_time():
    made = config("l2p")
    made.parts.use = ("prompts",)
    fails(lambda: Experiment(made), "config.parts.use=('prompts',)", "set it to ()")
    made = config("dualprompt")
    made.stages.few.rows = {"few": 4, "some": 4}
    made.data_of = {}
    made.tasks.some.labels = made.tasks.few.labels = 10
    made.data.source = "digits"
    fails(lambda: Experiment(made), "config.stages.few.rows: a pool learns one task at a time")


@pytest.mark.slow  # tests/test_compare.py compares, tests/report draws
def test_a_comparison_of_streams_shows_the_whole_stream(tmp_path):
    """Two ways from one pretrained network: a row each, and accuracy against parameters."""
    made = vit_continual.get_config("tiny")
    made.seeds = (0,)
    made.base.schedule = ("shapes_1", "digits")
    assert compare.run(made, tmp_path / "all", ["head", "l2p"]) == 0
    assert (tmp_path / "all" / "figures" / "budget.png").exists()
    assert (tmp_path / "all" / "runs" / "l2p_seed0" / "figures" / "prompts.png").exists()
    table = (tmp_path / "all" / "table.md").read_text()
    whole = table.split("### ")[1]
    assert whole.startswith("The whole stream")
    assert [line.split("|")[1].strip() for line in whole.splitlines()[4:6]] == ["head", "l2p"]
