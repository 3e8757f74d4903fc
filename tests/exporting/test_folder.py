"""The folder of an export: whatever stops one, what was there stays or the new one is whole."""

import pytest

from taskfusion_jax.engine.files import read_json, write_json
from taskfusion_jax.exporting.folder import LIST, whole_folder
from tests.fails import fails


def export(output, *names, overwrite=False, fault=None):
    with whole_folder(output, overwrite) as folder:
        for name in names:
            (folder / name).write_text(f"new {name}")
        if fault:
            raise fault


def there(output):
    return sorted(path.name for path in output.iterdir())


def test_all_files_and_their_list(tmp_path):
    export(tmp_path / "deep/out", "a", "b")
    assert there(tmp_path / "deep/out") == ["a", "b", LIST]
    assert read_json(tmp_path / "deep/out" / LIST) == ["a", "b"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_what_fails_changes_nothing(tmp_path, fault):
    export(tmp_path, "a", "b")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(fault):
        export(tmp_path, "b", "c", overwrite=True, fault=fault)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_earlier_export_goes_and_other_files_stay(tmp_path):
    export(tmp_path, "a", "b")
    (tmp_path / "mine").write_text("mine")
    export(tmp_path, "b", "c", overwrite=True)
    assert there(tmp_path) == ["b", "c", LIST, "mine"]
    assert (tmp_path / "b").read_text() == "new b"
    fails(lambda: export(tmp_path, "a", "mine", overwrite=True), "mine is of no earlier export")
    assert there(tmp_path) == ["b", "c", LIST, "mine"]
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_list_that_names_other_places_moves_nothing_there(tmp_path):
    (tmp_path / "outside").write_text("kept")
    output = tmp_path / "out"
    output.mkdir()
    write_json(output / LIST, ["../outside", str(tmp_path / "outside"), "..", ".", "", 3])
    export(output, "a", overwrite=True)
    assert (tmp_path / "outside").exists() and there(output) == ["a", LIST]


def test_what_a_killed_export_left_is_no_hindrance(tmp_path):
    (tmp_path / ".partial_x").mkdir()
    export(tmp_path, "a")
    assert there(tmp_path) == ["a", LIST]


def test_what_is_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    fails(lambda: export(tmp_path, "a"), "is not empty", "--overwrite")
    fails(lambda: export(tmp_path / "file", "a"), "is a file")
    fails(lambda: export(tmp_path / "file/below", "a"), "cannot be made")
