"""Archives of NumPy, and how faults are listed."""

import pickle

import numpy as np
import pytest

from taskfusion_jax.errors import UserError
from taskfusion_jax.porting.files import exactly, read_arrays
from tests.fails import fails


def test_an_archive_is_read_as_float32(tmp_path):
    arrays = {"a/b": np.arange(6.0).reshape(2, 3), "c": np.ones((), np.float16)}
    np.savez(tmp_path / "a.npz", **arrays)
    found = read_arrays(tmp_path / "a.npz", "")
    assert list(found) == ["a/b", "c"]
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)


def test_every_fault_is_told():
    with pytest.raises(UserError) as error:
        exactly({"d": np.ones(2), "a": np.ones(3)}, {"a": (1,), "b": (1,)}, "e", "x.npz: wrong")
    assert str(error.value) == "x.npz: wrong: extra d; missing b; a has (3,), not (1,)"


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_archives_run_nothing(tmp_path):
    mark = tmp_path / "ran"
    np.savez(tmp_path / "bomb.npz", **{"embedding/kernel": np.array([_Bomb(mark)], object)})
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(_Bomb(mark)))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not an archive")
    np.savez(tmp_path / "words.npz", **{"embedding/kernel": np.array(["a"])})
    for name in ("bomb", "pickle", "broken", "words"):
        path = tmp_path / f"{name}.npz"
        fails(lambda path=path: read_arrays(path, ""), f"{path}: not an archive of numpy arrays")
    assert not mark.exists()
