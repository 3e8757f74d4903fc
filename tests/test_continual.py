"""Tasks one after another through the real loop: what stands still, what is forgotten, and files
that do what the trained network did."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import matsumoto, quickstart
from taskfusion_jax import train
from taskfusion_jax.engine import names
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.state import State
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stored import StoredTasks, store
from taskfusion_jax.task_files import checksum, read_shared, write_shared
from taskfusion_jax.workdir import Workdir
from tests.engine import runs
from tests.fails import fails

ORDER = ("segmentation_1", "colourisation", "segmentation_2")
CHANNELS = (21, 2, 21)
STEPS = 2  # of each stage


def config(method, rates=(1e-3, 2e-2, 2e-2), order=ORDER):
    """A run on networks as small as they can be, without tasks that look at VGG16's features."""
    made = matsumoto.get_config(f"{method},{'>'.join(order)},tiny")
    for name in ("style_1", "style_2"):
        del made.tasks[name]
    made.unet.widths, made.resnet.width = (4,), 2
    for name, rate in zip(order, rates, strict=True):
        made.stages[name].update({"steps": STEPS, "lr": rate, "warmup": 0, "schedule": "constant"})
    return made


def saved(workdir: Path, stage: int) -> dict[str, np.ndarray]:
    """The network's parameters by name, as they were saved at the end of a stage."""
    shapes = names.flatten(_shapes(Experiment(_config_of(workdir))))
    found = runs.saved(workdir, STEPS * (stage + 1))
    arrays = {}
    for name, x in shapes.items():
        key = "".join(f"['{part}']" for part in ("params", "net", *name.split("/")))
        arrays[name] = np.frombuffer(found[key], np.float32).reshape(x.shape)
    return arrays


def _shapes(experiment: Experiment) -> dict:
    return jax.eval_shape(experiment.method.init, jax.random.key(0))


def _config_of(workdir: Path):
    return Workdir(workdir).config()


def matrix(workdir: Path) -> dict[str, dict]:
    return json.loads((workdir / "results.json").read_text())["matrix"]


def of_task(metrics: dict, task: str) -> dict:
    return {key: x for key, x in metrics.items() if key.startswith(f"{task}/")}


def below(arrays: dict, prefix: str) -> dict:
    chosen = {name: x for name, x in arrays.items() if name.startswith(prefix)}
    assert chosen
    return chosen


def same(a: dict, b: dict) -> bool:
    """Bit for bit."""
    assert a.keys() == b.keys()
    return all(x.tobytes() == b[name].tobytes() for name, x in a.items())


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A run of piggyback, and what was saved at the end of each stage."""
    workdir = tmp_path_factory.mktemp("masked") / "run"
    assert train.run(config("piggyback"), workdir) == 0
    return workdir, [saved(workdir, stage) for stage in range(3)]


def test_what_was_learnt_stays_as_it_was_measured(masked):
    measured = matrix(masked[0])
    assert tuple(measured) == ORDER
    for i, task in enumerate(ORDER):
        first = of_task(measured[task], task)
        assert len(first) == (8 - 2 if task == "colourisation" else 2)
        for stage in ORDER:
            later = of_task(measured[stage], task)
            assert later == (first if ORDER.index(stage) >= i else {})


def test_the_base_stands_still_and_masks_move_in_their_own_stage(masked):
    ends = masked[1]
    base = [below(end, "base/") for end in ends]
    assert same(base[0], base[1]) and same(base[0], base[2])
    heads = [below(end, "task_1/") for end in ends]
    assert same(heads[0], heads[1]) and same(heads[0], heads[2])
    for slot, own in ((3, 1), (2, 2)):  # colourisation, segmentation_2: slot, stage
        masks = [below(end, f"task_{slot}/mask/") for end in ends]
        parts = [below(end, f"task_{slot}/own/head/") for end in ends]
        for stage in (1, 2):
            moves = stage == own
            assert same(masks[stage - 1], masks[stage]) != moves
            assert same(parts[stage - 1], parts[stage]) != moves
        assert all((x == np.float32(0.01)).all() for x in masks[0].values())
        weights = np.concatenate([x.ravel() > 0.005 for x in masks[2].values()])
        assert 0.1 < weights.mean() < 0.9  # so many that a file without them would show


def test_files_hold_what_was_trained(masked):
    workdir, ends = masked
    files = sorted(path.stem for path in (workdir / "tasks").iterdir())
    assert files == sorted((*ORDER, "shared"))
    assert same(read_shared(workdir / "tasks"), below(ends[2], "base/"))
    sizes = {path.stem: path.stat().st_size for path in (workdir / "tasks").iterdir()}
    bits = sum(x.size for x in below(ends[2], "task_3/mask/").values())
    head = sum(4 * x.size for x in below(ends[2], "task_3/own/").values())
    assert bits / 8 + head < sizes["colourisation"] < bits / 8 + head + 3000  # names and shapes


def test_zeros_of_masks_are_in_the_results(masked):
    workdir, ends = masked
    study = json.loads((workdir / "results.json").read_text())["masks"]
    assert study["base"] == "segmentation_1" and list(study["tasks"]) == [ORDER[2], ORDER[1]]
    for task, slot in (("colourisation", 3), ("segmentation_2", 2)):
        masks = below(ends[2], f"task_{slot}/mask/").values()
        zeros = np.concatenate([x.ravel() <= np.float32(0.005) for x in masks])
        assert study["tasks"][task]["zeros"] == pytest.approx(zeros.mean(), rel=1e-6)
    assert (workdir / "figures/zeros.png").exists()


def vector(experiment: Experiment, task: str) -> np.ndarray:
    return experiment.tasks[task].vector


def test_stored_tasks_do_what_the_trained_network_did(masked):
    """What its checkpoint computes and its evaluation showed, and with one program for all."""
    workdir, ends = masked
    stored = StoredTasks(workdir)
    experiment, params = stored.experiment, names.unflatten(ends[2])
    run = jit(experiment.method.run)
    shown = np.load(workdir / "evaluations" / f"{ORDER[2]}.npz")
    for task in (*ORDER, *ORDER[::-1]):  # each also comes back after another
        stored.switch(task)
        images = shown[f"{task}/input"].astype(np.float32) / 255
        c = np.tile(vector(experiment, task), (2, 1))
        expected = run(experiment.method.pick(params, c[0]), images, c)
        channels = CHANNELS[ORDER.index(task)]
        made = stored(images)
        assert made.shape == (2, 32, 32, channels)
        np.testing.assert_allclose(made, expected[..., :channels], atol=1e-6)
        picture = np.round(255 * np.asarray(stored.show(images)))
        different = picture != shown[f"{task}/output"]
        if task == "colourisation":
            np.testing.assert_allclose(picture, shown[f"{task}/output"], atol=1)
        else:  # two scores may be equal but for rounding
            assert different.any(-1).mean() < 0.01
    assert stored.programs == 1
    assert stored._put._cache_size() + stored._put_over._cache_size() <= 4


@pytest.fixture
def files(masked, tmp_path):
    """A copy of the task files."""
    return shutil.copytree(masked[0] / "tasks", tmp_path / "tasks")


def test_a_task_of_another_base_is_refused(masked, files):
    shared = read_shared(files)
    before = checksum(shared)
    name = next(name for name in shared if name.endswith("kernel"))
    shared[name] = shared[name] + np.float32(1e-6)
    after = write_shared(files, shared)
    stored = StoredTasks.of(_config_of(masked[0]), files)
    path = files / "colourisation.safetensors"
    fails(
        lambda: stored.switch("colourisation"),
        *(path, "belongs to another base", before[:12], after[:12]),
    )


def test_damaged_and_unknown_tasks_are_refused(masked, files):
    """Whatever is wrong with one task, the others open."""
    path = files / "colourisation.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    stored = StoredTasks.of(_config_of(masked[0]), files)
    fails(lambda: stored.open("colourisation"), path, "damaged")
    fails(lambda: stored.open("colorisation"), "no task 'colorisation'", "'colourisation'")
    fails(lambda: stored.switch("style_1"), "no task 'style_1' is stored", "known:")
    stored.open(ORDER[2])
    fails(lambda: StoredTasks(files), files, "no run here")
    shutil.rmtree(files)
    fails(lambda: StoredTasks.of(_config_of(masked[0]), files), files, "no such folder")


def _random(experiment: Experiment) -> dict:
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), _shapes(experiment)
    )


def test_residual_blocks_are_stored_as_tasks(tmp_path):
    """The autoencoder is a task without anything of its own, and a network of another form."""
    experiment = Experiment(config("resblock"))
    params = _random(experiment)
    store(experiment, params, tmp_path)
    stored = StoredTasks.of(experiment.config, tmp_path)
    assert list(stored.tasks) == ["reconstruction", ORDER[0], ORDER[2], ORDER[1]]
    for task in ("colourisation", "reconstruction", "segmentation_1", "segmentation_2"):
        stored.switch(task)
        wanted = experiment.method.pick(params, vector(experiment, task))
        found = jax.tree.map(np.asarray, stored.params)
        assert same(names.flatten(found), names.flatten(wanted))


def test_tasks_that_share_nothing_or_all(tmp_path):
    """And tasks that no stage taught, which have no files."""
    experiment = Experiment(config("scratch", (1e-3, 1e-3), ORDER[:2]))
    params = names.flatten(_random(experiment))
    store(experiment, names.unflatten(params), tmp_path / "scratch")
    assert read_shared(tmp_path / "scratch") == {}
    stored = StoredTasks.of(experiment.config, tmp_path / "scratch")
    assert tuple(stored.tasks) == ORDER[:2]
    stored.open("colourisation")
    opened = names.flatten(stored.opened["colourisation"])
    own = {f"task_3/{name}": np.asarray(x) for name, x in opened.items()}
    assert same(own, below(params, "task_3/"))
    told = Experiment(quickstart.get_config("tiny"))
    store(told, {}, tmp_path / "told")
    assert not (tmp_path / "told").exists()


def test_a_stage_may_begin_with_copies():
    """A mask that begins as another task's; nothing else changes."""
    made = config("piggyback")
    made.stages[ORDER[2]].copy = (("net/task_3/mask", "net/task_2/mask"),)
    experiment = Experiment(made)
    params = _random(experiment)
    stage = experiment.stages[2]
    state = State(np.int32(4), {"net": params}, {}, params, {})
    entered = experiment._entered(state, stage)
    for after in (entered.params["net"], entered.ema):
        before, after = names.flatten(params), names.flatten(jax.tree.map(np.asarray, after))
        source = below(before, "task_3/mask/")
        copies = {name.replace("task_3", "task_2"): x for name, x in source.items()}
        assert not same(below(before, "task_2/mask/"), copies)
        assert same(after, {**before, **copies})
    made.stages[ORDER[2]].copy = (("net/task_3/musk", "net/task_2/mask"),)
    fails(lambda: Experiment(made).abstract_state(stage), f"{stage.field}.copy", "net/task_3/musk")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run of fine-tuning, stopped before its third stage, which goes back to the first's end and
    learns nothing; and what was saved at the end of each stage."""
    made = config("finetune", rates=(1e-3, 1e-2, 0.0))
    made.stages[ORDER[2]].start, made.checkpoint.keep = ORDER[0], 1
    workdir = tmp_path_factory.mktemp("tuned") / "run"
    enter = train.Trainer._enter

    def stop(trainer, state, stage):
        if stage.index == 2:
            raise train.Stopped
        return enter(trainer, state, stage)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Trainer, "_enter", stop)
        assert train.run(made, workdir) == 143
    assert not (workdir / "results.json").exists()
    ends = [saved(workdir, stage) for stage in range(2)]
    assert train.run(made, workdir) == 0
    return workdir, [*ends, saved(workdir, 2)]


def test_fine_tuning_forgets(tuned):
    workdir, (first, second, _) = tuned
    shared = [below(end, "shared/") for end in (first, second)]
    moved = [name for name, x in shared[0].items() if (x != shared[1][name]).any()]
    assert len(moved) == len(shared[0])
    assert same(below(first, "task_1/"), below(second, "task_1/"))  # the head stays
    measured = matrix(workdir)
    before, after = (of_task(measured[stage], ORDER[0]) for stage in ORDER[:2])
    assert before.keys() == after.keys() and before != after


def test_a_stage_may_start_from_an_earlier_ones_end(tuned):
    """Also after a stop, and although only one checkpoint is kept otherwise."""
    workdir, (first, second, third) = tuned
    for prefix in ("shared/", "task_1/", "task_2/"):
        assert same(below(first, prefix), below(third, prefix))
    assert not same(below(second, "shared/"), below(third, "shared/"))
    assert same(below(second, "task_3/"), below(third, "task_3/"))  # does not move: as it is
    measured = matrix(workdir)
    assert of_task(measured[ORDER[2]], ORDER[0]) == of_task(measured[ORDER[0]], ORDER[0])
    kept = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    assert kept == [str(STEPS), str(3 * STEPS)]


def test_fine_tuning_leaves_heads_and_one_trunk(tuned):
    workdir, (_, _, third) = tuned
    assert same(read_shared(workdir / "tasks"), below(third, "shared/"))
    assert "masks" not in json.loads((workdir / "results.json").read_text())


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((1, 16, 16, 1), np.float32), "are [1, 16, 16, 1]"),
        (np.zeros((16, 16, 3), np.float32), "are [16, 16, 3]"),
        (np.zeros((0, 16, 16, 3), np.float32), "are [0, 16, 16, 3]"),
        (np.zeros((1, 16, 16, 3), np.int32), "are int32: convert them"),
        (np.full((1, 16, 16, 3), 200, np.float32), "reach from 200 to 200"),
        (np.full((1, 16, 16, 3), np.nan, np.float32), "reach from nan"),
    ],
)
def test_images_that_are_none_are_refused(images, says, masked):
    tasks = StoredTasks(str(masked[0]))
    tasks.switch(ORDER[0])
    fails(lambda: tasks(images), "images must be [B, H, W, 3]", says)


def test_a_base_must_stand_still_under_masks():
    made = config("piggyback")
    made.stages[ORDER[1]].trainable = "net/.*"
    fails(lambda: Experiment(made), f"config.stages.{ORDER[1]}.trainable moves base/", "masks lie")
    made = config("piggyback")
    made.piggyback.base = ()
    fails(lambda: Experiment(made), "config.piggyback.base names no task")


def test_what_to_do_with_gray_photographs_is_one_of_two_words():
    made = config("piggyback")
    made.tasks.colourisation.gray = "foo"
    fails(lambda: Experiment(made), "config.tasks.colourisation.gray: 'foo'", "keep nor refuse")
