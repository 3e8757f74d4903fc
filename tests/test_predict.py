"""The command `predict`: files in, files out, whatever lies among them."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax import train
from taskfusion_jax.data.images import read_picture
from taskfusion_jax.engine.progress import make_console
from taskfusion_jax.inference.asked import parse_strengths, parse_sweep
from taskfusion_jax.inference.files import find_images, plan, write_picture
from taskfusion_jax.inference.model import load
from taskfusion_jax.inference.predictor import Predictor
from tests import test_streams
from tests.engine import runs
from tests.fails import fails
from tests.inference import bad_images
from tests.inference.watched import check_line


@pytest.fixture(scope="module")
def film():
    return load(runs.finished()[0], batch=2)


def save(path, height=40, width=30, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(path, **options)
    return pixels


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image


def done(model, given, output, wanted=({"style_1": 1.0},), overwrite=False):
    """(how many were done, what failed)."""
    predictor = Predictor(model, list(wanted), output, overwrite)
    return predictor(given, make_console(quiet=True)), predictor.failed


def test_a_folder_with_all_kinds_of_files(film, tmp_path):
    """Good ones are done, bad ones are told, each once."""
    given, output = tmp_path / "in", tmp_path / "out"
    pixels = save(given / "a.png")
    save(given / "deep/er/b.jpg", 33, 70)
    save(given / "gray.png", mode="L")
    (given / "empty.png").write_bytes(b"")
    (given / "text.jpg").write_text("no image")
    (given / "cut.png").write_bytes((given / "a.png").read_bytes()[:200])
    (given / "notes.txt").write_text("left out")
    (given / "gone.png").symlink_to(given / "nowhere.png")
    count, failed = done(film, given, output)
    assert count == 3
    assert [os.path.basename(line.split()[0]) for line in failed] == [
        *("cut.png", "empty.png", "gone.png", "text.jpg")
    ]
    found = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
    assert found == ["a.png", "deep/er/b.png", "gray.png"]
    expected = np.rint(film(pixels, style_1=1) * 255)
    np.testing.assert_array_equal(np.asarray(opened(output / "a.png")), expected)
    assert opened(output / "deep/er/b.png").size == (70, 33)


def test_transparency_and_orientation_are_kept(film, tmp_path):
    pixels = save(tmp_path / "in/clear.png", mode="RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    save(tmp_path / "in/turned.jpg", 20, 50, exif=exif)
    assert done(film, tmp_path / "in", tmp_path / "out") == (2, [])
    clear = np.asarray(opened(tmp_path / "out/clear.png"))
    np.testing.assert_array_equal(clear[..., 3], pixels[..., 3])
    turned = opened(tmp_path / "out/turned.png")
    assert turned.size == (20, 50) and not turned.getexif()


def test_a_strip_has_every_strength(film, tmp_path):
    pixels = save(tmp_path / "a.png", 32, 32)
    wanted = [{"restoration": 1.0, "style_1": s} for s in parse_sweep("style_1=0:1:3")[1]]
    assert done(film, tmp_path / "a.png", tmp_path / "out", wanted) == (1, [])
    strip = np.asarray(opened(tmp_path / "out/a.png")) / 255
    assert strip.shape == (32, 96, 3)
    middle = film(pixels, restoration=1, style_1=0.5)
    np.testing.assert_allclose(strip[:, 32:64], middle, atol=0.5 / 255 + 1e-5)


def test_what_is_there_stays_unless_told(film, tmp_path):
    save(tmp_path / "a.png")
    assert done(film, tmp_path / "a.png", tmp_path / "out") == (1, [])
    before = (tmp_path / "out/a.png").read_bytes()
    count, failed = done(film, tmp_path / "a.png", tmp_path / "out", [{"style_2": 1.0}])
    assert count == 0 and len(failed) == 1 and "--overwrite" in failed[0]
    assert (tmp_path / "out/a.png").read_bytes() == before
    again = done(film, tmp_path / "a.png", tmp_path / "out", [{"style_2": 1.0}], overwrite=True)
    assert again == (1, []) and (tmp_path / "out/a.png").read_bytes() != before
    _, failed = done(film, tmp_path / "a.png", tmp_path, overwrite=True)
    assert "would be overwritten" in failed[0]


def test_links_lead_nowhere(film, tmp_path):
    """Neither to files beside the input nor to places beside the output."""
    given, output, beside = tmp_path / "in", tmp_path / "out", tmp_path / "beside"
    save(given / "deep/a.png")
    save(given / "b.png")
    save(beside / "secret.png")
    (given / "link.png").symlink_to(beside / "secret.png")
    (given / "around").symlink_to(tmp_path, target_is_directory=True)
    output.mkdir()
    (output / "deep").symlink_to(beside, target_is_directory=True)
    (output / "b.png").symlink_to(beside / "b.png")
    count, failed = done(film, given, output, overwrite=True)
    assert count == 0 and len(failed) == 3
    assert sum("link to a place outside" in line for line in failed) == 3
    assert os.listdir(beside) == ["secret.png"]


def test_a_link_that_is_named_is_meant(film, tmp_path):
    save(tmp_path / "elsewhere/a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere/a.png")
    assert done(film, tmp_path / "link.png", tmp_path / "out") == (1, [])


def test_a_folder_that_cannot_be_read_is_told_and_the_others_done(film, tmp_path, monkeypatch):
    """As the operating system says it, whoever runs the tests."""
    save(tmp_path / "in/a.png")
    (tmp_path / "in/closed").mkdir()
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    count, failed = done(film, tmp_path / "in", tmp_path / "out")
    assert count == 1 and len(failed) == 1
    assert "closed cannot be read (Permission denied)" in failed[0]


def test_colours_that_shine_through_come_out_as_they_went_in(tmp_path):
    """Where the network gives the image back, whatever their opacity."""
    rng = np.random.default_rng(0)
    given = rng.integers(0, 256, (40, 50, 4), np.uint8)
    Image.fromarray(given).save(tmp_path / "a.png")
    image, transparent = read_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", image / np.float32(255), transparent)
    made = np.asarray(opened(tmp_path / "b.png"))
    np.testing.assert_array_equal(made[..., 3], given[..., 3])
    assert np.abs(made.astype(int) - given).max() <= 4  # half a level on white, at a quarter
    # Whatever is painted is there on white, where it can be.
    painted = 0.6 * image / np.float32(255) + np.float32(0.3)
    write_picture(tmp_path / "c.png", painted, transparent)
    made = opened(tmp_path / "c.png")
    white = Image.alpha_composite(Image.new("RGBA", made.size, "white"), made).convert("RGB")
    rgb, inside = np.asarray(made)[..., :3], given[..., 3:] >= 64
    free = inside & (rgb > 0) & (rgb < 255)
    assert free.mean() > 0.3
    assert np.abs(np.asarray(white, int) - 255 * painted)[free].max() <= 1.1
    np.testing.assert_array_equal(rgb[given[..., 3] == 0], given[given[..., 3] == 0][:, :3])


def test_a_pipe_does_not_hang(film, tmp_path):
    save(tmp_path / "in/a.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    count, failed = done(film, tmp_path / "in", tmp_path / "out")
    assert count == 1 and "no plain file" in failed[0]


def test_names_that_differ_in_the_suffix_alone_or_in_case(tmp_path):
    for name in ("a.jpg", "a.png", "B.png", "b.jpg", "größe ✓.png", "-rf.png"):
        save(tmp_path / name)
    images, others, closed = find_images(tmp_path, tmp_path / "out")
    targets = [job.target.name for job in plan(tmp_path, images, tmp_path / "out")]
    assert (others, closed) == (0, [])
    assert sorted(targets) == sorted(
        ["a.jpg.png", "a.png.png", "B.png.png", "b.jpg.png", "größe ✓.png", "-rf.png"]
    )


def test_labels_are_a_table(tmp_path):
    assert train.run(test_streams.config("prefixes"), tmp_path / "run") == 0
    for i in range(4):
        save(tmp_path / f"in/{i}.png", 32 + i, 40)
    (tmp_path / "in/bad.png").write_bytes(b"x")
    model = load(tmp_path / "run")
    predictor = Predictor(model, [{"more": 1.0}], tmp_path / "out", False)
    assert predictor(tmp_path / "in", make_console(quiet=True)) == 4
    assert len(predictor.failed) == 1
    rows = list(csv.DictReader((tmp_path / "out/labels.csv").read_text().splitlines()))
    assert [os.path.basename(row["file"]) for row in rows] == ["0.png", "1.png", "2.png", "3.png"]
    likely = [float(rows[0][f"probability_{i}"]) for i in range(1, 5)]
    assert sum(likely) == pytest.approx(1, abs=1e-3) and likely == sorted(likely, reverse=True)
    assert {rows[0][f"label_{i}"] for i in range(1, 5)} == set(model.classes["more"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("restoration=1,style_1=0.6", {"restoration": 1.0, "style_1": 0.6}),
        (" a , b = .5 ,", {"a": 1.0, "b": 0.5}),
        ("", {}),
    ],
)
def test_strengths_are_read(text, found):
    assert parse_strengths(text) == found


def test_strengths_and_sweeps_written_wrongly():
    fails(lambda: parse_strengths("a=1,a=0"), "'a' twice")
    fails(lambda: parse_strengths("a=high"), "'high' is no number")
    for text in ("a", "a=0:1", "a=0:1:x", "=0:1:3", "a=0:1:-3"):
        fails(lambda text=text: parse_sweep(text), "TASK=FROM:TO:STEPS")
    fails(lambda: parse_sweep("a=0:1:1"), "1 steps")
    fails(lambda: parse_sweep("a=0:1:65"), "65 steps")
    assert parse_sweep("a=0:1:3") == ("a", (0.0, 0.5, 1.0))


def command(*flags):
    line = [sys.executable, "-m", "taskfusion_jax.predict", *map(str, flags)]
    return subprocess.run(
        line, cwd=runs.ROOT, env=runs.environment(), capture_output=True, text=True
    )


def test_the_command(tmp_path):
    workdir = runs.finished()[0]
    save(tmp_path / "in/a.png")
    (tmp_path / "in/bad.png").write_bytes(b"x")
    flags = (f"--workdir={workdir}", f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}")
    some = command(*flags, "--tasks=restoration=1,style_1=0.6")
    assert some.returncode == 3
    assert "1 done" in some.stdout and some.stderr.count("\n") == 1
    assert some.stderr.startswith("error: ") and "bad.png" in some.stderr
    wrong = command(*flags, "--tasks=stile_1=1")
    assert wrong.returncode == 2 and "did you mean 'style_1'" in wrong.stderr
    listed = command(f"--workdir={workdir}", "--list-tasks")
    assert listed.returncode == 0 and "style_2" in listed.stdout
    assert "--tasks=restoration=1,segmentation=1" in listed.stdout
    nothing = command(f"--workdir={workdir}", f"--input={tmp_path / 'no'}", "--output=x")
    assert nothing.returncode == 2 and "no such file or folder" in nothing.stderr


def test_the_command_among_hostile_files(tmp_path):
    """One clear line for each file, whatever its name and whatever libraries print of it."""
    workdir, given, output = runs.finished()[0], tmp_path / "in", tmp_path / "[/out] :smile:"
    save(given / "[/red] :smile:.png")
    bad = {
        "clear\x1b[2J.png": b"bad",
        "line\nbreak.png": b"bad",
        os.fsdecode(b"\xff\xfe.png"): b"bad",
        "claims.png": bad_images.bombs()["square.png"],
        "noisy.tif": bad_images.whole()["tiff_deflate.tif"][:-40] + b"\xff" * 40,
    }
    for name, data in {**bad, "notes\x07.txt": b""}.items():
        (given / name).write_bytes(data)
    flags = (f"--workdir={workdir}", f"--input={given}", f"--output={output}", "--tasks=style_1")
    ran = command(*flags)
    assert ran.returncode == 3, ran.stderr
    lines = ran.stderr.splitlines()
    assert len(lines) == len(bad) and all(line.startswith("error: ") for line in lines), lines
    for line in lines:
        check_line(line)
    assert f"1 done, in {output}; 5 failed" in ran.stdout
    assert "\x1b" not in ran.stdout and "\x07" not in ran.stdout
    assert [p for p in output.rglob("*") if p.is_file()] == [output / "[/red] :smile:.png"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--tile=0", "--tile=0"),
        ("--tile=nan", "--tile=nan"),
        ("--batch=-1", "--batch=-1"),
        ("--batch=" + "9" * 30, "batch=999"),
        ("--sweep=style_1=0:1:\u00b2", "TASK=FROM:TO:STEPS"),
        ("--overwrite=perhaps", "--overwrite=perhaps"),
    ],
)
def test_flags_that_make_no_sense(flag, words, tmp_path):
    """Told before a network is opened."""
    save(tmp_path / "a.png")
    ran = command(
        f"--workdir={tmp_path}", f"--input={tmp_path}", f"--output={tmp_path / 'o'}", flag
    )
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1, ran.stderr
    assert words in ran.stderr and not (tmp_path / "o").exists()
