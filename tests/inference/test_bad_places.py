"""Bad places: links, pipes, and what stands where results go; nothing is written elsewhere."""

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.fails import fails
from tests.inference.watched import listing, predict, save


def test_links_pipes_and_folders_with_names_of_images(tmp_path):
    source, output, beside = tmp_path / "in", tmp_path / "out", tmp_path / "beside"
    save(source / "good.png")
    save(beside / "secret.png")
    (source / "folder.png").mkdir()
    save(source / "folder.png" / "inside.png")
    (source / "loop.png").symlink_to("loop.png")
    (source / "to.png").symlink_to("from.png")
    (source / "from.png").symlink_to("to.png")
    (source / "parent.png").symlink_to("..")
    (source / "self").symlink_to(".")
    (source / "secret.png").symlink_to("../beside/secret.png")
    (source / "zero.png").symlink_to("/dev/zero")
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "same.png").symlink_to("good.png")
    os.mkfifo(source / "pipe.png")
    before = listing(tmp_path)
    done, failed, _ = predict(source, output)
    assert done == 3, failed  # good, inside, same
    assert sorted(Path(line.split()[0]).name for line in failed) == [
        *("from.png", "gone.png", "loop.png", "pipe.png", "secret.png", "to.png", "zero.png")
    ]
    assert listing(tmp_path, without=output) == before


def test_what_stands_where_results_go(tmp_path):
    source, output, beside = tmp_path / "in", tmp_path / "out", tmp_path / "beside"
    for name in ("folder", "link", "loop", "deep/a", "deeper/a", "there", "free"):
        save(source / f"{name}.png")
    save(beside / "kept.png", b"kept")
    (output / "folder.png").mkdir(parents=True)
    (output / "link.png").symlink_to("../beside/kept.png")
    (output / "loop.png").symlink_to("loop.png")
    (output / "deep").symlink_to("../beside")
    (output / "deeper").write_bytes(b"a file")
    (output / "there.png").write_bytes(b"there")
    before = listing(tmp_path)
    done, failed, _ = predict(source, output)
    assert done == 1 and len(failed) == 6
    after = listing(tmp_path)
    assert after.pop(str(output / "free.png")) and after == before
    done, failed, _ = predict(source, output, overwrite=True)
    assert done == 3 and len(failed) == 4  # there, free, loop
    assert (beside / "kept.png").read_bytes() == b"kept" and os.listdir(beside) == ["kept.png"]


def test_temporary_names_cannot_be_foreseen(tmp_path):
    """So nobody can lay a link there, and two that write one file do not meet."""
    source, output = save(tmp_path / "in/a.png"), tmp_path / "out"
    seen, replace = [], os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", lambda old, new: seen.append(old) or replace(old, new))
        for _ in range(2):
            assert predict(source, output, overwrite=True)[0] == 1
    assert len(set(seen)) == 2 and all(path.parent == output for path in seen)
    assert os.listdir(output) == ["a.png"]


def test_nothing_stays_of_what_could_not_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    save(tmp_path / "in/a.png")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        predict(tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_places_that_make_no_sense(tmp_path):
    source = tmp_path / "in"
    image = save(source / "a.png")
    before = listing(tmp_path)
    fails(lambda: predict(source, source), "--output", "is the folder of the images")
    fails(lambda: predict(source, image), f"--output={image} cannot be made", "File exists")
    fails(lambda: predict(source, image / "below"), "cannot be made", "Not a directory")
    fails(lambda: predict(source, tmp_path / ("x" * 300)), "cannot be made", "File name too long")
    fails(lambda: predict(tmp_path / ("x" * 300), tmp_path / "out"), "no such file or folder")
    fails(lambda: predict(tmp_path / "a\0b", tmp_path / "out"), "no such file or folder")
    assert listing(tmp_path) == before


def test_results_are_not_taken_for_images(tmp_path):
    """An output folder within the input may be used again and again."""
    source = tmp_path / "in"
    save(source / "a.png")
    for _ in range(3):
        assert predict(source, source / "out", overwrite=True)[:2] == (1, [])
    assert sorted(p.name for p in source.rglob("*.png")) == ["a.png", "a.png"]


def test_no_image_is_replaced_by_the_result_of_another(tmp_path):
    """--output lies above --input, so in/in/a.png would go where in/a.png is."""
    first, second = save(tmp_path / "in/a.png"), save(tmp_path / "in/in/a.png")
    before = first.read_bytes()
    done, failed, _ = predict(tmp_path / "in", tmp_path, overwrite=True)
    assert done == 1 and "is itself read" in failed[0] and str(first) in failed[0]
    assert first.read_bytes() == before and second.exists()


def test_a_strip_of_too_many_pixels(tmp_path):
    Image.new("L", (2000, 800)).save(tmp_path / "a.png")
    strip = [{"style_1": i / 63} for i in range(64)]
    _, failed, _ = predict(tmp_path / "a.png", tmp_path / "out", wanted=strip)
    assert len(failed) == 1 and "102 million pixels" in failed[0] and "--sweep" in failed[0]


def test_a_table_of_labels_is_not_replaced(tmp_path):
    source, output, wanted = tmp_path / "in", tmp_path / "out", ({"more": 1.0},)
    Image.new("L", (1, 60_000)).save(save(source / "line.png"))
    save(source / os.fsdecode(b"caf\xe9\n.png"))
    save(output / "labels.csv", b"mine")
    ask = {"kind": "labels", "wanted": wanted}
    fails(lambda: predict(source, output, **ask), "labels.csv is there already", "--overwrite")
    assert (output / "labels.csv").read_bytes() == b"mine"
    done, failed, labels = predict(source, output, overwrite=True, **ask)
    assert (done, failed, len(labels)) == (2, [], 2)
    assert "caf\\udce9\n.png" in (output / "labels.csv").read_text("utf-8")
    (output / "labels.csv").unlink()
    (output / "labels.csv").mkdir()
    fails(lambda: predict(source, output, overwrite=True, **ask), "labels.csv is a folder")
