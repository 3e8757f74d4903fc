"""The page of the command `demo`, without a browser."""

import asyncio
import os
import re
import socket
import sys
import types

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.demo import server
from taskfusion_jax.demo.samples import samples
from taskfusion_jax.demo.service import Service
from taskfusion_jax.inference.model import load
from tests.demo import uploads
from tests.engine import runs
from tests.fails import fails

# Without Gradio ----------------------------------------------------------------------------------


def test_without_gradio(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, "gradio", None)
    fails(lambda: server._prepare(tmp_path / "cache"), "pip install -e '.[demo]'")
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_ports():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fails(lambda: server.free_port("127.0.0.1", port), f"--port={port}", "in use")
    assert server.free_port("127.0.0.1", port) == port
    assert server.free_port("127.0.0.1", 0) > 0
    fails(lambda: server.free_port("203.0.113.1", 0), "--host=203.0.113.1")


# The page, without a browser ---------------------------------------------------------------------


@pytest.fixture
def gradio(monkeypatch, tmp_path):
    """Gradio, working in a folder of the test. The event loops that it leaves open are closed."""
    loops, new = [], asyncio.new_event_loop
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: loops.append(new()) or loops[-1])
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    yield pytest.importorskip("gradio")
    for loop in loops:
        loop.close()
    asyncio.set_event_loop(None)


def model_of(blends, combines):
    tasks = {name: types.SimpleNamespace(active=slot) for name, slot in (("same", ()), ("a", (1,)))}
    tasks["b"] = types.SimpleNamespace(active=(2,))
    method = types.SimpleNamespace(blends=blends, combines=combines)
    combinations = {"a+b": ("a", "b")}
    return types.SimpleNamespace(tasks=tasks, method=method, combinations=combinations)


@pytest.mark.parametrize(
    ("blends", "combines", "kinds", "read"),
    [
        (True, True, ["slider", "slider"], {"a": 1.0, "b": 1.0}),
        (False, True, ["checkboxgroup"], {"a": 1.0, "b": 1.0}),
        (False, False, ["radio"], {"a": 1.0}),
    ],
)
def test_controls_fit_the_method(gradio, blends, combines, kinds, read):
    from taskfusion_jax.demo.controls import controls, presets

    model, wish = model_of(blends, combines), {"a": 1.0, "b": 1.0}
    asked = controls(model, wish)
    assert [component.get_block_name() for component in asked.components] == kinds
    assert asked.read(*asked.write(wish)) == read
    titles = list(presets(model))
    assert titles == (["a + b", "same", "a", "b"] if combines else [])


def test_what_browsers_send_for_controls(gradio):
    """Values come as they were sent; what is none asks for nothing, which the model refuses."""
    from taskfusion_jax.demo.controls import controls

    for combines, good in ((True, ["a"]), (False, "a")):
        asked = controls(model_of(False, combines), {"a": 1.0})
        assert asked.read(good) == {"a": 1.0}
        for odd in (None, 5, {}, float("nan")):
            assert all(isinstance(name, str) for name in asked.read(odd))


@pytest.fixture
def page(gradio, tmp_path):
    """The page of a run with six tasks, and its function that a slider calls."""
    from taskfusion_jax.demo import page

    service = Service(load(runs.finished()[0], tile=64, batch=1), 1, 0.1)
    blocks = page.build(service, samples(service.model)[:2], tmp_path)
    (run,) = {fn.fn for fn in blocks.fns.values() if fn.fn.__name__ == "run"}
    return blocks, run


@pytest.mark.slow
def test_the_page_s_function(page, tmp_path):
    """Three hundred uploads under odd names, as a browser would name them."""
    _, run = page
    rng, before = np.random.default_rng(4), set(tmp_path.rglob("*"))
    outside = set(tmp_path.parent.iterdir())
    names = ("a.png", "größe ✓.jpg", "-rf", "x.svg", "a b.gif", "con.tif")
    for i, data in enumerate(uploads.uploads(5, 300)):
        path = tmp_path / "cache" / names[i % len(names)]
        path.write_bytes(data)
        asked = path if i % 10 else tmp_path / "cache/../../x" / path.name
        payload = {"path": str(asked), "orig_name": "../../../up.png", "url": "http://x/../y"}
        pictures, labels, download, line = run(payload, *rng.random(5).tolist())
        told = re.fullmatch(r'<p class="(told|failed)" role="status">([^<]+)</p>', line)
        assert told and "Traceback" not in told[2] and "\n" not in told[2]
        assert labels["value"] is None
        if download["value"] is None:
            assert pictures["value"] is None
        else:
            assert told[1] == "told" and len(pictures["value"]) == 2
            with Image.open(download["value"]) as made:
                assert made.size == np.asarray(pictures["value"][0]).shape[1::-1]
    made = set(tmp_path.rglob("*")) - before
    expected = {tmp_path / "cache" / name for name in names}
    assert all(path.parent == tmp_path / "cache" for path in made)
    assert all(re.fullmatch(r"result_[0-9a-f]{32}\.png", path.name) for path in made - expected)
    assert set(tmp_path.parent.iterdir()) == outside


def test_nothing_is_published(page):
    blocks, _ = page
    assert not blocks.analytics_enabled and blocks.delete_cache
    api = blocks.get_api_info()
    assert not api["named_endpoints"] and not api["unnamed_endpoints"]
