"""Commands as people type them: help, and one clear line for whatever is wrong."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from configs import film_voc
from taskfusion_jax import train
from taskfusion_jax.counts import count
from taskfusion_jax.errors import UserError
from tests.engine import runs

TINY = "--config=configs/quickstart.py:tiny"


def command(*words, module="main"):
    """Exit code, output and errors of a command."""
    process = subprocess.run(
        [sys.executable, "-m", f"taskfusion_jax.{module}", *map(str, words)],
        cwd=runs.ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return process.returncode, process.stdout, process.stderr


def refused(*words):
    """The one line on standard error."""
    code, _, err = command(*words)
    assert code == 2, err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("module", ["main", "describe"])
def test_help_teaches(module):
    code, out, err = command("--help", module=module)
    assert (code, err) == (0, "")
    assert f"python -m taskfusion_jax.{module}" in out
    assert "--config" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([TINY, "--config.optimizer.b1=0"], "config has no field 'optimizer' (did you mean"),
        ([TINY, "--config.optimiser.b3=0"], "config.optimiser has no field 'b3'"),
        ([TINY, "--config.seed=abc"], "--config.seed=abc: this field takes int, such as 0"),
        ([TINY, "--config.data.size=1.5"], "--config.data.size=1.5: this field takes int"),
        ([TINY, "--config.data.size=(1,2)"], "--config.data.size=(1,2): this field takes int"),
        ([TINY, "--config.data=3"], "--config.data=3: this field takes a table"),
        ([TINY, "--wokrdir=x"], "no flag --wokrdir (did you mean 'workdir'?)"),
        ([TINY, "stray"], "'stray' is no flag"),
        (["--config=configs/nope.py"], "--config=configs/nope.py: there is no file"),
        (["--config=configs/quickstart.py:tinny"], "no option 'tinny' after the colon"),
        (["--config=configs/film_folder.py"], "name a folder of images after the colon"),
        ([], "--config is missing"),
    ],
)
def test_wrong_flags(tmp_path, flags, words):
    assert words in refused(*flags, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_missing_workdir():
    assert "--workdir is missing" in refused(TINY)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise RuntimeError('bad\\nnews')", "bad news"),
        ("x = 1", "get_config"),
        ("def get_config(): return 3", "returns no ConfigDict"),
        ("def get_config(:", "invalid syntax"),
    ],
)
def test_config_files_that_are_wrong(tmp_path, text, words):
    file = tmp_path / "mine.py"
    file.write_text(text)
    line = refused(f"--config={file}", f"--workdir={tmp_path / 'run'}")
    assert str(file) in line
    assert words in line


def test_one_line_from_deep_inside(tmp_path):
    """One of the cases below as a command; the others differ in nothing but the message."""
    flags = ("--config.stages.single.schedule=cosin", f"--workdir={tmp_path / 'run'}")
    assert "config.stages.single.schedule: no 'cosin'" in refused(TINY, *flags)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule": ("singel",)}, "config.schedule: no stage 'singel' (did you mean 'single'?)"),
        ({"stages__single__rows": {"restauration": 1}}, "no task 'restauration'"),
        ({"stages__single__combine": "M9"}, "config.stages.single.combine"),
        ({"stages__combined__schedule": "cosin"}, "config.stages.combined.schedule"),
        ({"stages__combined__trainable": "nte/.*"}, "config.stages.combined.trainable"),
        ({"stages__single__trainable": "("}, "no regular expression"),
        ({"optimiser__lr_rules": (("(", 1.0),)}, "config.optimiser.lr_rules"),
        ({"optimiser__decay_rules": (".*",)}, "config.optimiser.decay_rules"),
        ({"tasks__style_1__loss": {"styel": 1.0}}, "config.tasks.style_1.loss: no loss term"),
        ({"tasks__style_1__kind": "stlye"}, "config.tasks.style_1.kind"),
        ({"tasks__style_1__painting": "gone.jpg"}, "config.tasks.style_1.painting: gone.jpg"),
        ({"method": "flim"}, "config.method: no 'flim' (did you mean 'film'?)"),
        ({"dtype": "float23"}, "config.dtype: no 'float23'"),
        ({"teacher": "master"}, "config.teacher: no 'master'"),
        ({"data__source": "scene"}, "config.data.source: no 'scene'"),
        ({"perceptual__layers": ("relu9_9",)}, "config.perceptual.layers: no 'relu9_9'"),
        ({"evaluate__frechet_layers": ("conv",)}, "config.evaluate.frechet_layers: no 'conv'"),
        ({"perceptual__weights": "gone.pth"}, "gone.pth"),
        ({"data__size": 30}, "config.data.size=30 must be a multiple of 4"),
        ({"data__scale": 0.0}, "config.data.scale=0.0"),
        ({"data__mixup": -0.1}, "config.data.mixup=-0.1 must be at least 0"),
        ({"data__augment": -1}, "config.data.augment=-1 must be at least 0"),
        ({"data__per_class": -1}, "config.data.per_class=-1 must be at least 0"),
        ({"data__augment_strength": 11.0}, "config.data.augment_strength=11.0 must be within 0"),
        ({"data__source": "voc_folder", "data__voc_folder__dir": "gone"}, "gone is not a folder"),
        ({"data__source": "image_folder", "data__image_folder__dir": "tests"}, "tests has no"),
        ({"data__source": "tfds", "data__tfds__name": "voc_sdb"}, "config.data.tfds.name"),
        ({"evaluate__images": 0}, "config.evaluate.images=0 must be at least 1"),
        ({"checkpoint__every": 0}, "config.checkpoint.every=0 must be at least 1"),
        ({"log_every": 0}, "config.log_every=0 must be at least 1"),
        ({"groups": -1}, "config.groups=-1 must be at least 0"),
        ({"ema": 1.0}, "config.ema=1.0"),
    ],
)
def test_wrong_values_leave_no_folder(tmp_path, changes, words):
    with pytest.raises(UserError) as caught:
        train.run(runs.config(**changes), tmp_path / "run")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_masks_that_are_not_there(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(30):
        Image.new("RGB", (40, 40)).save(tmp_path / "photos" / f"{i}.png")
    changes = {"data__source": "image_folder", "data__image_folder__dir": str(tmp_path / "photos")}
    with pytest.raises(UserError, match="has no masks, which segmentation needs"):
        train.run(runs.config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_split_that_is_not_there(tmp_path):
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/trainval.txt").write_text("a\n")
    changes = {"data__source": "voc_folder", "data__voc_folder__dir": str(tmp_path)}
    with pytest.raises(UserError, match=r"train.txt does not exist.*config.data.voc_folder.train"):
        train.run(runs.config(**changes), tmp_path / "run")


def test_devices_that_do_not_divide_the_groups(tmp_path):
    eight = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    process = runs.start(tmp_path / "run", "--config.groups=12", more=eight)
    code, _, err = runs.end(process)
    assert (code, err.count("\n")) == (2, 1)
    assert "config.groups=12 cannot be divided among 8 devices" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workdir", ["file", "/proc/nothing"])
def test_folders_that_cannot_be_made(tmp_path, monkeypatch, workdir):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=f"--workdir={workdir} cannot be written"):
        train.run(runs.config(), workdir)


def test_a_config_json_that_is_no_json(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(UserError, match=r"config.json cannot be read"):
        train.run(runs.config(), tmp_path)


def test_describe_counts_the_papers_network():
    code, out, err = command("--config=configs/film_voc.py", "--json", module="describe")
    assert (code, err) == (0, "")
    counts = json.loads(out)
    assert counts == count(film_voc.get_config())
    assert counts["total"] == 1_698_435
    assert counts["shared"] + sum(counts["per_task"].values()) == counts["total"]
    assert counts["bytes"] == 4 * counts["total"]
