"""The exported web page in a real browser, against JAX."""

import contextlib
import dataclasses
import functools
import http.server
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from configs import vit_continual
from taskfusion_jax.data.arrays import to_rgba
from taskfusion_jax.data.images import read_picture
from taskfusion_jax.exporting import web_files
from taskfusion_jax.exporting.network import networks
from taskfusion_jax.exporting.run import export
from taskfusion_jax.inference.model import load
from taskfusion_jax.tasks.base import Task
from tests.browser import browsing
from tests.engine import runs
from tests.exporting.test_torch import model
from tests.fails import fails

needs_npm = pytest.mark.skipif(not shutil.which("npm"), reason="npm brings ONNX Runtime Web")


@contextlib.contextmanager
def served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/index.html"
        finally:
            server.shutdown()
            thread.join()


def pixels(page, canvas="after"):
    return np.array(
        page.evaluate(
            f"""() => {{ const c = document.getElementById("{canvas}");
            return Array.from(c.getContext("2d").getImageData(0, 0, c.width, c.height).data); }}"""
        ),
        np.uint8,
    )


def ran(page, name, x, c):
    """What the page's own function makes of images, NCHW."""
    line = """async ([name, x, shape, c]) => {
        const y = await taskfusion.run(name, Float32Array.from(x), shape, c);
        return [Array.from(y.data), y.dims]; }"""
    given = [name, x.reshape(-1).tolist(), list(x.shape), None if c is None else c.tolist()]
    values, shape = page.evaluate(line, given)
    return np.array(values, np.float32).reshape(shape)


def settled(page, results):
    """Waits until so many results were shown."""
    page.wait_for_function(f'document.body.dataset.results == "{results}"', timeout=120_000)


@needs_npm
@pytest.mark.slow
def test_sliders_change_the_picture_and_the_numbers_are_jaxs(tmp_path):
    run = load(runs.finished()[0])
    export(run, "web", tmp_path)
    (network,) = networks(run)
    photo = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 4), np.uint8)
    noise[:25, :, 3] = 255
    noise[25:, :, 3] = 128 + noise[25:, :, 3] // 2  # through which white is seen
    Image.fromarray(noise).save(photo)
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:100])
    with served(tmp_path) as address, browsing(address) as page:
        page.click("#sample")
        settled(page, 1)
        first = pixels(page)
        assert first.size and not np.array_equal(first, pixels(page, "before"))
        page.evaluate("""() => { const slider = document.getElementById("task style_1");
            slider.value = 1; slider.dispatchEvent(new Event("input")); }""")
        settled(page, 2)
        second = pixels(page)
        assert second.shape == first.shape and np.abs(second.astype(int) - first).mean() > 1
        page.set_input_files("#file", str(broken))
        page.wait_for_function('/no picture/.test(document.getElementById("status").textContent)')
        page.set_input_files("#file", str(photo))
        settled(page, 3)
        assert np.array_equal(pixels(page, "before").reshape(50, 70, 4)[:25], noise[:25])
        x, c = network.example(1, 32)
        theirs = ran(page, "model", np.moveaxis(x, -1, 1), c[0])
        ours = np.asarray(network(x, c))
        scale = max(1, np.abs(ours).max())
        np.testing.assert_allclose(np.moveaxis(theirs, 1, -1), ours, atol=1e-5 * scale)
        # What is drawn is what predict writes: filled up by reflection, cut back, clipped.
        strengths = page.evaluate("""() => Object.fromEntries(Array.from(
            document.querySelectorAll("#tasks input"), (x) => [x.id.slice(5), Number(x.value)]))""")
        assert strengths["style_1"] == 1
        image, transparent = read_picture(photo)
        drawn, made = pixels(page).reshape(50, 70, 4), to_rgba(run(image, **strengths), transparent)
        assert np.array_equal(drawn[..., 3], noise[..., 3])
        drawn, made = (x[..., :3] * (noise[..., 3:] / 255) for x in (drawn, made))
        assert np.abs(drawn - made)[:20].max() <= 1
        assert np.abs(drawn - made).max() < 4  # browsers keep colours multiplied by opacity


@needs_npm
@pytest.mark.slow
def test_labels_of_a_vit(tmp_path):
    config = vit_continual.get_config("prefixes,embedded,tiny")
    config.vit.weights = ""
    export(whole := model(config, tmp_path), "web", tmp_path)
    with served(tmp_path) as address, browsing(address) as page:
        page.click("#sample")
        settled(page, 1)
        assert page.locator("#labels li").count() == min(5, len(whole.classes["shapes_1"]))
        page.click("text=digits")
        settled(page, 2)
        noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "photo.png")
        page.set_input_files("#file", str(tmp_path / "photo.png"))
        settled(page, 3)
        lines = page.locator("#labels li").all_inner_texts()
        scores = whole(noise, digits=1)
        best = np.argsort(-scores)[:5]
        assert [line.split()[0] for line in lines] == [whole.classes["digits"][i] for i in best]
        told = [float(line.split()[1]) for line in lines]
        np.testing.assert_allclose(told, 100 * scores[best], atol=0.06)


def test_what_a_browser_cannot_show_is_refused(tmp_path):
    """A task that somebody wrote, with a `show` of its own."""

    @dataclasses.dataclass(frozen=True)
    class Negative(Task):
        def show(self, output, given):
            return 1 - output

    task = Negative("negative", (1,), 2, {})
    fails(lambda: web_files._drawn(None, task), "--format=web", "negative", "Negative.show")


def test_a_runtime_that_is_not_the_released_one_is_not_used(tmp_path, monkeypatch):
    kept = tmp_path / "taskfusion_jax" / web_files.RUNTIME
    kept.mkdir(parents=True)
    for name in web_files._FILES:
        (kept / name).write_bytes(b"other")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(web_files, "_fetched", dict)
    assert web_files._runtime() == {}


def test_without_npm_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    fails(lambda: web_files._runtime(), "--format=web", "onnxruntime-web", "install Node.js")
