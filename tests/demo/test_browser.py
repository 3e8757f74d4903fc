"""The command `demo` in a real browser, on a run of six tasks."""

import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.inference.model import load
from tests.browser import browsing
from tests.demo import uploads
from tests.engine import runs

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The command: its process, the address that it prints, the folder that it may write to, and
    the file with its errors, in which JAX tells what it compiles."""
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("served")
    flags = (f"--workdir={runs.finished()[0]}", "--port=0", "--max_mb=1", "--max_megapixels=1")
    line, errors = [sys.executable, "-m", "taskfusion_jax.demo", *flags], folder / "errors"
    more = {"TMPDIR": str(folder), "JAX_LOG_COMPILES": "1"}
    with errors.open("w") as file:
        process = subprocess.Popen(
            line,
            cwd=runs.ROOT,
            env=runs.environment(**more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=file,
        )
        address = ""
        while not address:
            said = process.stdout.readline()
            assert said, errors.read_text()
            address = said.split()[0] if said.startswith("http") else ""
        yield process, address, folder, errors
        process.kill()
        process.communicate()


@pytest.fixture
def tab(served):
    """The page once it shows a first result."""
    with browsing(served[1]) as tab:
        wait_for(tab, "pixels")
        yield tab


@pytest.fixture(scope="module")
def model():
    return load(runs.finished()[0], batch=1)


def wait_for(tab, words, seconds=60):
    """Until the line below the result says so."""
    tab.wait_for_function(
        "words => (document.querySelector('#line p')?.textContent ?? '').includes(words)",
        arg=words,
        timeout=1000 * seconds,
    )


def fetched(tab, source):
    return np.asarray(Image.open(io.BytesIO(tab.request.get(source).body())).convert("RGB"))


def shown(tab):
    """The pixels of input and result in the slider between them."""
    pictures = tab.locator("#result img")
    assert pictures.count() == 2
    return [fetched(tab, pictures.nth(i).get_attribute("src")) for i in range(2)]


def choose(tab, data, name="a.png"):
    """Takes the image away that is there and uploads a file."""
    tab.get_by_role("button", name="Remove Image").click()
    wait_for(tab, "Drop an image")
    file = {"name": name, "mimeType": "image/png", "buffer": data}
    tab.locator("#input input[type=file]").set_input_files(file)


def drag(tab, task, share):
    """Moves a task's slider with the mouse."""
    slider = tab.get_by_label(f"range slider for {task}")
    box = slider.bounding_box()
    x, y = box["x"] + 8, box["y"] + box["height"] / 2
    now = float(slider.input_value()) * (box["width"] - 16)
    tab.mouse.move(x + now, y)
    tab.mouse.down()
    tab.mouse.move(x + share * (box["width"] - 16), y, steps=4)
    tab.mouse.up()
    return float(slider.input_value())


def preset(tab, title):
    tab.locator("#presets").get_by_role("button", name=title, exact=True).click()


def as_bytes(image):
    return np.rint(image * 255).astype(np.uint8)


def test_upload_and_slide(tab, model):
    """The picture that is shown is the model's, before and after a slider moves."""
    data = uploads.image(RNG, (70, 50))
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    preset(tab, "restoration")
    wait_for(tab, "restoration ·")
    choose(tab, data)
    wait_for(tab, "70 x 50 pixels")
    before, after = shown(tab)
    np.testing.assert_array_equal(before, pixels)
    np.testing.assert_allclose(after, as_bytes(model(pixels, restoration=1)), atol=1)
    strength = drag(tab, "style_2", 0.7)
    assert 0.6 < strength < 0.8
    wait_for(tab, f"restoration + style_2 {strength:.2g} ·")
    _, moved = shown(tab)
    expected = as_bytes(model(pixels, restoration=1, style_2=strength))
    np.testing.assert_allclose(moved, expected, atol=1)
    assert (moved != after).any()


def test_numbers_are_typed(tab):
    preset(tab, "style_1")
    wait_for(tab, "style_1 ·")
    box = tab.get_by_label("number input for style_1")
    box.fill("0.25")
    box.press("Tab")
    wait_for(tab, "style_1 0.25 · c = [0, 0, 0, 0, 0.25, 0]")


def test_presets_move_the_sliders(tab):
    preset(tab, "segmentation + style_1")
    wait_for(tab, "segmentation + style_1 · c = [0, 0, 0, 1, 1, 0]")
    values = {
        task: tab.get_by_label(f"range slider for {task}").input_value()
        for task in ("completion", "restoration", "segmentation", "style_1", "style_2")
    }
    assert [task for task, value in values.items() if value == "1"] == ["segmentation", "style_1"]
    assert tab.get_by_label("range slider for reconstruction").count() == 0
    preset(tab, "reconstruction")
    wait_for(tab, "c = [0, 0, 0, 0, 0, 0]")


def test_samples_are_taken(tab):
    before, _ = shown(tab)
    tab.locator("#samples button").nth(3).click()
    wait_for(tab, "384 x ")
    assert shown(tab)[0].shape != before.shape


def test_what_is_no_image_is_told_and_life_goes_on(tab):
    for name, data, words in (
        ("text.png", b"no image", "this file is not an image"),
        ("cut.png", uploads.image(RNG, (64, 64))[:500], "this file is damaged"),
        ("../../ü<b>.png", b"<script>", "this file is not an image"),
        ("large.png", uploads.huge(9000, 9000), "more than 1 million pixels"),
    ):
        choose(tab, data, name)
        wait_for(tab, words)
        assert tab.locator("#line p.failed").count() == 1
        assert tab.locator("#result img").count() == 0
        assert "Traceback" not in tab.content()
        tab.locator("#samples button").first.click()
        wait_for(tab, "256 x 256 pixels")
    choose(tab, b"x" * 1_100_000, "much.png")
    tab.get_by_text("exceed the maximum allowed size of 1").first.wait_for()


def test_the_result_is_downloaded(tab, model):
    data = uploads.image(RNG, (40, 33), "RGBA")
    preset(tab, "style_1")
    wait_for(tab, "style_1 ·")
    choose(tab, data)
    wait_for(tab, "40 x 33 pixels")
    with tab.expect_download() as waiting:
        tab.locator("#download").click()
    assert waiting.value.suggested_filename.endswith(".png")
    with Image.open(waiting.value.path()) as made, Image.open(io.BytesIO(data)) as given:
        assert made.mode == "RGBA" and made.size == given.size
        made, given = np.asarray(made), np.asarray(given)
    np.testing.assert_array_equal(made[..., 3], given[..., 3])


def test_fifty_clicks_compile_nothing(tab, served):
    """JAX tells every program that it compiles."""
    titles = tab.locator("#presets button").all_inner_texts()
    assert len(titles) == 9
    counts, began = [served[3].read_text().count("Compiling ")], time.perf_counter()
    for click in range(50):
        title = titles[click % len(titles)]
        preset(tab, title)
        wait_for(tab, f"{title} ·")
    print(f"a click takes {(time.perf_counter() - began) / 50:.2f} s in the browser")
    counts.append(served[3].read_text().count("Compiling "))
    assert 0 < counts[0] == counts[1]


def test_keys_move_a_slider_and_the_picture(tab):
    tab.get_by_label("range slider for style_2").focus()
    for _ in range(6):
        tab.keyboard.press("ArrowRight")
    wait_for(tab, "style_2 0.06 ")
    number = tab.get_by_label("number input for style_2")
    number.fill("0.7")
    number.press("Enter")
    wait_for(tab, "style_2 0.7 ")


def test_the_last_of_many_clicks_counts(tab):
    for title in ("style_1", "style_2", "restoration", "style_2", "style_1") * 4:
        preset(tab, title)
    tab.wait_for_timeout(3000)
    wait_for(tab, "style_1 · c = [0, 0, 0, 0, 1, 0]")


def test_a_phone_shows_it_without_scrolling_sideways(tab):
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_timeout(300)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_ctrl_c_ends_it(served, tab):
    """Last: with a page open, and nothing is left behind."""
    process, _, folder, errors = served
    assert list(folder.glob("taskfusion_demo_*"))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) in (0, 130)
    assert "Traceback" not in errors.read_text()
    assert os.listdir(folder) == ["errors"]
