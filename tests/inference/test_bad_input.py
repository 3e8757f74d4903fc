"""Bad files: one clear line each, no crash, no hang, nothing written but results."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from taskfusion_jax.data.images import read_picture
from taskfusion_jax.inference.files import plan
from tests.engine import runs
from tests.inference import bad_images
from tests.inference.watched import check_line, listing, predict, save, told

DAMAGED = 850
NAMES = (
    *("größe.png", "絵.png", "😀.png", "שלום.png", "a b.png", " lead.png", "trail .png"),
    *("-rf.png", "--help.png", "a'b\"c.png", "$(touch x).png", "`x`.png", ";rm.png", "*.png"),
    *("[/red].png", "[bold]x.png", ":smile:.png", "%s%n.png", "{0}.png", "\\x.png", "~.png"),
    *("line\nbreak.png", "tab\there.png", "bell\a.png", "red\x1b[31m.png", "title\x1b]0;x\a.png"),
    *("turned\u202egnp.png", "zero\u200bwidth.png", "nel\x85.png", "csi\x9b31m.png"),
    *("a..png", "..a.png.png", "a.png.png", "a.jpg.png", "a.jpg", "a.png", "A.png", "a.PNG"),
    *("e\u0301.png", "é.png", "con.png", "nul.png", "=1+1.png", "," + "x" * 240 + ".png"),
    *("x" * 251 + ".png", os.fsdecode(b"bytes\xff\xfe.png"), os.fsdecode(b"\xe9.png")),
)


def read(path, data, seconds=5.0):
    """None where a file gives pixels, or one line that begins with its name."""
    path.write_bytes(data)
    found = told(lambda: read_picture(path), path.name, seconds)
    if isinstance(found, str):
        assert found.startswith(str(path)), found
        return found
    image, transparent = found
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3 and image.size
    assert transparent is None or transparent.shape == (*image.shape[:2], 4)
    path.unlink()
    return None


def test_there_are_a_thousand_cases():
    every = (*bad_images.whole(), *bad_images.never(), *bad_images.bombs(), *NAMES)
    every += tuple(name for name, _ in bad_images.damaged(DAMAGED))
    assert len(every) >= 1000


def test_sound_files_of_every_kind_are_read(tmp_path):
    for name, data in bad_images.whole().items():
        assert read(tmp_path / name, data) is None


def test_what_is_no_image_is_told(tmp_path):
    for name, data in bad_images.never().items():
        assert read(tmp_path / name, data)


def test_damaged_files(tmp_path):
    """Read or told; C libraries and Pillow's warnings say nothing."""
    lines = [read(tmp_path / name, data) for name, data in bad_images.damaged(DAMAGED)]
    assert DAMAGED / 4 < sum(line is not None for line in lines) < DAMAGED


@pytest.mark.slow
def test_more_damaged_files(tmp_path):
    for name, data in bad_images.damaged(10_000, seed=1):
        read(tmp_path / name, data, seconds=60)  # some become as large as is allowed


WATCH = """
import resource, sys, time
from pathlib import Path
from taskfusion_jax.data.images import read_picture
from taskfusion_jax.errors import UserError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir(), key=lambda path: not path.name.startswith("0")):
    before, begun = peak(), time.monotonic()
    try:
        read_picture(path)
        told = "read"
    except UserError as error:
        told = str(error)
    print(path.name, peak() - before, time.monotonic() - begun, told, sep="|")
"""


def test_bombs_are_refused_before_they_are_decoded(tmp_path):
    """Peak memory of a process of its own grows by less than 32 MiB for each."""
    for name, data in {"0warm.png": bad_images.whole()["rgb.png"], **bad_images.bombs()}.items():
        (tmp_path / name).write_bytes(data)
    with open(tmp_path / "sparse.png", "wb") as file:
        file.truncate(10 << 30)
    line = [sys.executable, "-c", WATCH, str(tmp_path)]
    ran = subprocess.run(line, cwd=runs.ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    warm, *rows = [row.split("|") for row in ran.stdout.splitlines()]
    assert warm[-1] == "read" and len(rows) == len(bad_images.bombs()) + 1
    for name, grown, seconds, line in rows:
        assert line != "read" and int(grown) < 32 * 1024 and float(seconds) < 2, (name, grown, line)
        check_line(line)


@pytest.mark.parametrize("count", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_one_folder_of_everything(tmp_path, capfd, count):
    """Good files are done, bad ones told, and nothing else changes."""
    source, output = tmp_path / "in", tmp_path / "out"
    files = {**bad_images.never(), **bad_images.bombs(), **dict(bad_images.damaged(count, seed=2))}
    for name, data in files.items():
        path = save(source / "bad" / name, data or b"\n")
        found = told(lambda path=path: read_picture(path), name)
        if not isinstance(found, str) and max(found[0].shape) > 64:
            path.unlink()  # larger than is quick
    for name, data in bad_images.whole().items():
        save(source / "good" / f"{name}.png", data)
    before = listing(tmp_path)
    capfd.readouterr()
    done, failed, _ = predict(source, output)
    assert capfd.readouterr().err == ""
    assert listing(tmp_path, without=output) == before
    images = [path for path in source.rglob("*") if path.is_file()]
    written = [path for path in output.rglob("*") if path.is_file()]
    assert done == len(written) and done + len(failed) == len(images)
    assert len(list((output / "good").iterdir())) == len(bad_images.whole())
    for path in written:
        with Image.open(path) as image:
            assert path.suffix == ".png" and image.format == "PNG"
            image.load()


def test_names(tmp_path):
    """Each gets a result of its own; what a terminal would obey is never printed."""
    source, output = tmp_path / "in", tmp_path / "out"
    for name in NAMES:
        save(source / name)
    save(source / os.fsdecode(b"\x1b[2J\xff.png"), b"bad")
    before = listing(tmp_path)
    done, failed, _ = predict(source, output)
    assert done == len(NAMES) - sum(name.startswith(".") for name in NAMES)
    assert [line for line in failed if "\\x1b[2J\\udcff.png" in line] == failed and len(failed) == 1
    assert len(list(output.iterdir())) == done
    assert listing(tmp_path, without=output) == before


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            "{}{}".format,
            st.sampled_from(["a", "A", "b/a", "a.jpg", "a.png", "a.jpg.png", "é", "..a"]),
            st.sampled_from([".png", ".jpg", ".PNG", ".png.png", ".jpg.png"]),
        ),
        unique=True,
        min_size=1,
    )
)
def test_no_two_images_have_one_result(names):
    source, output = Path("."), Path("out")
    targets = [job.target for job in plan(source, [source / name for name in names], output)]
    assert len(set(targets)) == len(names)
    for name, target in zip(names, targets, strict=True):
        assert target.suffix == ".png" and target.is_relative_to(output)
        assert target.parent == output / Path(name).parent
