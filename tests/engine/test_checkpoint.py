"""Whatever happens to a checkpoint's files, what is restored is what was saved."""

import logging
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.engine.checkpoint import Checkpoints
from taskfusion_jax.engine.state import State
from taskfusion_jax.errors import UserError


def state(step):
    rng = np.random.default_rng(step)
    params = {"w": jnp.asarray(rng.normal(size=(40, 50)), jnp.float32), "b": jnp.zeros(3)}
    return State(jnp.array(step, jnp.int32), params, {"moment": jnp.ones(3)}, {}, {})


def abstract(meta):
    assert meta == {"stage": "first", "seconds": 1.5}
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state(0)
    )


def save(folder, *steps, keep=3):
    checkpoints = Checkpoints(folder, keep)
    for step in steps:
        checkpoints.save(state(step), {"batches": step}, {"stage": "first", "seconds": 1.5})
    checkpoints.close()


def assert_restores(folder, step):
    checkpoints = Checkpoints(folder, 3)
    restored = checkpoints.restore(abstract)
    checkpoints.close()
    if step is None:
        assert restored is None
        return
    found, data, meta = restored
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(state(step)), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert data == {"batches": step}
    assert meta["stage"] == "first"


def test_newest_of_those_kept(tmp_path):
    save(tmp_path, 1, 2, 3, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]
    assert_restores(tmp_path, 3)


def test_nothing_to_restore(tmp_path):
    assert_restores(tmp_path, None)


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


DAMAGES = {"cut": lambda p: os.truncate(p, p.stat().st_size // 2), "gone": os.remove, "flip": _flip}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("item", ["state", "data", "meta", "."])
def test_damage(tmp_path, caplog, capfd, item, damage):
    """To the largest file of each item, and to the list of checksums itself."""
    save(tmp_path, 1, 2)
    folder = tmp_path / "checkpoints" / "2"
    files = [p for p in (folder / item).rglob("*") if p.is_file()]
    path = folder / "checksums.json" if item == "." else max(files, key=lambda p: p.stat().st_size)
    DAMAGES[damage](path)
    with caplog.at_level(logging.WARNING):
        assert_restores(tmp_path, 1)
    assert "checkpoint 2 is damaged" in caplog.text
    assert "using step 1 instead" in caplog.text
    assert (tmp_path / "damaged_checkpoints" / "2").is_dir()
    assert "Traceback" not in capfd.readouterr().err
    save(tmp_path, 2)
    assert_restores(tmp_path, 2)


def test_all_damaged(tmp_path, caplog):
    save(tmp_path, 1)
    shutil.rmtree(tmp_path / "checkpoints/1/state")
    assert_restores(tmp_path, None)
    assert "there is none before it" in caplog.text


def test_a_save_that_fails_leaves_nothing_of_itself(tmp_path, monkeypatch):
    save(tmp_path, 1)
    checkpoints = Checkpoints(tmp_path, 3)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("taskfusion_jax.engine.checkpoint._checksums", full)
        with pytest.raises(UserError, match=r"No space left.*newest whole one: step 1; free some"):
            checkpoints.save(state(2), {"batches": 2}, {"stage": "first", "seconds": 1.5})
            checkpoints.wait()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["1"]
    assert_restores(tmp_path, 1)
