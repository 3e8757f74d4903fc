"""What the pages tell people to do, done: the worked examples, the first commands, all code."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax import cli
from taskfusion_jax.counts import count
from taskfusion_jax.data.sources import build_source
from taskfusion_jax.errors import UserError
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.named import find_class
from taskfusion_jax.tasks.base import Task
from tests import pages
from tests.engine import runs


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder to work in, with the configs and two photographs."""
    shutil.copytree(runs.ROOT / "configs", tmp_path / "configs")
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (48, 70, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{seed}.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def save(name):
    """Writes the files that a page tells to save."""
    for file, code in pages.page(name).files.items():
        with open(file, "w") as out:
            out.write(code)


def tiny(line):
    """A command with one step on tiny images in place of a training that lasts."""
    if not re.search(r"\.(main|compare) ", line) or "tiny" in line:
        return line
    return re.sub(r"(\.py)(:)?", lambda m: m[1] + (":tiny," if m[2] else ":tiny"), line, count=1)


def run(line):
    """Runs a command of a page; returns what it prints."""
    words = shlex.split(line)
    assert words[0] == "python"
    environment = runs.environment(PYTHONPATH=f"{os.getcwd()}:{runs.ROOT}")
    process = subprocess.run(
        [sys.executable, *words[1:]], env=environment, capture_output=True, text=True, timeout=900
    )
    assert process.returncode == 0, f"{line}: {process.stderr}"
    return process.stdout


def bash(name):
    """The command lines of a page's shell blocks."""
    code = "\n".join(pages.page(name).blocks("bash")).replace("\\\n", " ")
    return [line for line in code.splitlines() if line.startswith("python")]


def test_the_new_task_damages_as_jpeg_does(workplace):
    """And its config makes sense; the task's class is found by its module."""
    save("docs/add_a_task.md")
    config = cli._load("configs/jpeg.py:tiny")
    task = Experiment(config).tasks["jpeg"]
    image = np.kron(np.eye(8, dtype=np.uint8)[..., None] * 200, np.ones((4, 4, 3), np.uint8))
    worse = task.corrupt(np.random.default_rng(0), image)
    assert worse.shape == image.shape and worse.dtype == np.uint8
    mended = np.abs(worse.astype(float) - image).mean()
    gentle = task.__class__("x", (1,), 7, {}, quality=(95, 95))
    least = np.abs(gentle.corrupt(np.random.default_rng(0), image).astype(float) - image).mean()
    assert 0 < least < mended


def test_the_new_method_halves_what_a_task_adds_to_the_norms(workplace):
    save("docs/add_a_method.md")
    counts = {name: count(cli._load(f"configs/film_scale.py:{name}")) for name in runs_of_scale()}
    gates = 2 * 3 + 1  # the input gate: one number for each channel; the gate per pixel none
    film, scale = (counts[name]["per_task"]["style_1"] for name in ("film", "film_scale"))
    assert scale < film
    assert 2 * scale - film in range(gates + 1)


def runs_of_scale():
    return cli._load("configs/film_scale.py").runs


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("restoraton", r"kind: no 'restoraton' \(did you mean 'restoration'\?\)"),
        ("no_such_module:Task", "No module named 'no_such_module'.*MODULE:CLASS"),
        ("taskfusion_jax.tasks.style:Stile", "no attribute 'Stile'.*MODULE:CLASS"),
        ("os:getcwd", r"kind=os:getcwd is no class made from taskfusion_jax\.tasks\.base\.Task"),
        (":Task", "MODULE:CLASS"),
    ],
)
def test_a_class_that_is_not_there(name, words):
    with pytest.raises(UserError, match=words) as caught:
        find_class(name, {"restoration": Task}, Task, "config.tasks.x.kind")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("title", ["A folder of images", "Images with masks of your own", "COCO"])
def test_folders_as_drawn_are_read(workplace, title):
    """Each tree of docs/data.md, made of empty images, opens with the flags below it."""
    text = pages.page("docs/data.md").text
    part = text[text.index(f"## {title}\n") :]
    tree = re.search(r"```text\n(\S+)/\n(.*?)```", part, re.S)
    for path in tree[2].split():
        make(f"{tree[1]}/{path}")
    line = re.search(r"```bash\n(.*?)```", part, re.S)[1].replace("\\\n", " ")
    words = shlex.split(line)
    config = cli._load(next(w for w in words if w.startswith("--config="))[9:])
    fields = [w.removeprefix("--config.").split("=") for w in words if w.startswith("--config.")]
    config.update_from_flattened_dict(dict(fields) | {"data.voc_folder.classes": 2})
    config.data.size, config.data.coco.classes = 32, 2
    source = build_source(config.data, "train", 0)
    assert source[0]["image"].shape == (40, 40, 3)
    assert source.has_masks == (title != "A folder of images")


def make(path):
    """An image, a mask, a list of names or annotations, as the path says."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if path.endswith(".txt"):
        text = "a\nb\n" if "train" in path else "c\n"
    elif path.endswith(".json"):
        images = f'[{{"id": 1, "file_name": "{"0" * 9}{9 if "train" in path else 139:03}.jpg", '
        text = f'{{"images": {images}"height": 40, "width": 40}}], '
        text += '"annotations": [], "categories": [{"id": 1}]}'
    else:
        mode = "L" if "Class" in path else "RGB"
        Image.new(mode, (40, 40)).save(path)
        return
    with open(path, "w") as file:
        file.write(text)


def test_birds_as_drawn_are_read(workplace):
    tree = re.search(r"```text\n(birds)/\n(.*?)```", pages.page("docs/data.md").text, re.S)
    for path in tree[2].split():
        make(f"{tree[1]}/{path}")
    config = cli._load("configs/vit_pretrain.py")
    config.data.update({"source": "image_folder", "image_folder": {"dir": "birds", "labels": True}})
    for split, length in (("train", 4), ("test", 2)):
        source = build_source(config.data, split, 0)
        assert (len(source), source.labels) == (length, ("heron", "wren"))


@pytest.mark.parametrize("number", [0, 1])
def test_code_of_the_page_on_data(workplace, number):
    exec(compile(pages.page("docs/data.md").scripts[number], "data.md", "exec"), {})
    if number:
        data = cli._load("configs/vit_pretrain.py").data
        data.update({"source": "npz", "npz": {"train": "train.npz", "test": "test.npz"}})
        assert build_source(data, "train", 0).labels == ("heron", "wren")
    else:
        with Image.open("mine/SegmentationClass/a.png") as mask:
            assert set(np.unique(np.asarray(mask))) == {0, 1, 255}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["docs/add_a_task.md", "docs/add_a_method.md"])
def test_worked_examples(workplace, name):
    save(name)
    lines = [tiny(line) for line in bash(name)]
    assert len(lines) == 3
    printed = "".join(map(run, dict.fromkeys(lines)))
    assert "Report: " in printed
    if name.endswith("task.md"):
        assert sorted(os.listdir("mended")) == ["0.png", "1.png"]
    else:
        assert "film_scale" in (workplace / "runs/scale/table.md").read_text()


@pytest.mark.slow
def test_first_commands_and_code_of_the_readme(workplace):
    """Train, list, predict, evaluate again, export, check; then the code of README and porting."""
    first = pages.page("README.md").blocks("bash")[0].partition(" && ")[2].strip()
    run(tiny(first))
    for line in bash("README.md"):
        run(line)
    assert len(os.listdir("painted")) == 2
    run("python -m taskfusion_jax.evaluate --workdir=runs/quickstart")
    (exporting, checking) = bash("docs/porting.md")[-2:]
    run(exporting)
    assert "largest difference" in run(checking)
    for name in ("README.md", "docs/index.md", "docs/porting.md"):
        for code in pages.page(name).scripts:
            exec(compile(code, name, "exec"), {})


@pytest.mark.slow
def test_code_of_tasks_one_after_another(workplace):
    run(tiny(next(x for x in bash("docs/continual.md") if "runs/masks" in x)))
    photograph = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
    Image.fromarray(photograph).save("photograph.jpg")
    found = {}
    for code in pages.page("docs/continual.md").scripts:
        exec(compile(code, "continual.md", "exec"), found)
    assert found["painted"].shape == (1, 64, 64, 3)


@pytest.mark.slow
def test_code_of_one_vit(workplace):
    first = bash("docs/vit.md")[0]
    run(tiny(first) + " --only=prefixes")
    found = {}
    for code in pages.page("docs/vit.md").scripts:
        exec(compile(code, "vit.md", "exec"), found)
    scores = np.asarray(found["scores"])
    assert scores.shape == (3, 10)
    assert np.isneginf(scores[0, 5:]).all() and np.isfinite(scores[1:]).all()


@pytest.mark.slow
def test_code_of_the_page_on_speed(tmp_path):
    (code,) = pages.page("docs/performance.md").scripts
    (tmp_path / "speed.py").write_text(code)
    runpy.run_path(str(tmp_path / "speed.py"))
