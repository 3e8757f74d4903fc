"""What a page asks of a run, without a page: files in, pictures and clear lines out."""

import io
import os
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from configs import matsumoto
from taskfusion_jax.demo.samples import samples
from taskfusion_jax.demo.service import SHOWN, Service, uploaded
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.inference.model import Model, load
from tests import test_streams
from tests.demo import uploads
from tests.engine import runs

RNG = np.random.default_rng(0)
STRANGE = (
    *(float("nan"), float("inf"), -float("inf"), -1, 1.001, 10**400, None, "", "high", [], {}),
    *(True, "0.5", 1, 0, 0.3),
)
NAMES = (
    "style_1",
    "restoration",
    "../../etc/passwd",
    "größe ✓",
    "",
    "a\nb",
    "<b>",
    "style_1+style_2",
)


@pytest.fixture(scope="module")
def film():
    """A network that does six tasks at any strength, with small pieces, so few are compiled."""
    return Service(load(runs.finished()[0], tile=64, batch=1), max_mb=1, max_megapixels=0.1)


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def one_line(answer):
    assert answer.message and "\n" not in answer.message and "Traceback" not in answer.message
    return answer


def refused(answer, *words):
    assert one_line(answer).failed
    assert answer.shown is answer.result is answer.given is answer.labels is None
    for word in words:
        assert word in answer.message, answer.message


def test_it_does_what_the_model_does(film):
    data = uploads.image(RNG, (40, 33))
    answer = one_line(film.answer(data, {"restoration": 1, "style_1": 0.6, "style_2": 0}))
    made = film.model(pixels_of(data), restoration=1, style_1=0.6)
    np.testing.assert_array_equal(answer.result, made)
    before, after = answer.shown
    np.testing.assert_array_equal(before, pixels_of(data))
    np.testing.assert_array_equal(after, np.rint(made * 255))
    assert "restoration + style_1 0.6 · c = [0, 0, 1, 0, 0.6, 0] · 40 x 33 pixels" in answer.message
    assert not answer.failed and answer.labels is None


def test_sliders_at_zero_ask_for_the_image_itself(film):
    data = uploads.image(RNG, (32, 32))
    answer = film.answer(data, dict.fromkeys(("restoration", "style_1"), 0))
    np.testing.assert_array_equal(answer.result, film.model(pixels_of(data), reconstruction=1))


def test_transparency_and_orientation_are_kept(film):
    data = uploads.image(RNG, (20, 33), "RGBA")
    answer = film.answer(data, {"style_1": 1})
    with Image.open(io.BytesIO(data)) as image:
        given = np.asarray(image)
    np.testing.assert_array_equal(answer.given, given)
    assert (answer.shown[1][given[..., 3] == 0] == 255).all()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    turned = film.answer(uploads.image(RNG, (20, 33), form="JPEG", exif=exif), {"style_1": 1})
    assert turned.result.shape == turned.shown[0].shape == (20, 33, 3)


def test_large_images_are_shown_small_and_kept_large():
    service = Service(load(runs.finished()[0], tile=64, batch=1), 20, 16)
    answer = service.answer(uploads.image(RNG, (SHOWN + 70, 20)), {"style_1": 1})
    assert answer.result.shape == (20, SHOWN + 70, 3)
    assert answer.shown[0].shape == answer.shown[1].shape == (19, SHOWN, 3)


def test_what_is_wrong_is_told_in_one_line(film):
    good = uploads.image(RNG, (32, 32))
    refused(film.answer(b"text", {"style_1": 1}), "this file is not an image", "PNG")
    refused(film.answer(good[:100], {"style_1": 1}), "this file is damaged")
    refused(film.answer(good, {"style_1": float("nan")}), "style_1=nan", "between 0 and 1")
    refused(film.answer(good, {"style_1": 2}), "style_1=2")
    refused(film.answer(good, {"stile_1": 1}), "did you mean 'style_1'")
    for nothing in (None, b""):
        answer = one_line(film.answer(nothing, {"style_1": 1}))
        assert "Drop an image" in answer.message and not answer.failed and answer.shown is None


def test_limits(film):
    refused(film.answer(b"x" * (2**20 + 1), {"style_1": 1}), "larger than 1 MB")
    refused(film.answer(uploads.image(RNG, (400, 251)), {"style_1": 1}), "0.1 million pixels")
    assert not film.answer(uploads.image(RNG, (400, 250)), {"style_1": 1}).failed
    began = time.perf_counter()
    refused(film.answer(uploads.huge(9000, 9000), {"style_1": 1}), "0.1 million pixels")
    refused(film.answer(uploads.huge(70000, 70000), {"style_1": 1}), "million pixels")
    assert time.perf_counter() - began < 1  # nothing is decoded


def test_fifty_clicks_compile_nothing():
    """On every sample, at any strengths, after one run of each."""
    service = Service(load(runs.finished()[0], batch=1), 20, 16)
    found = samples(service.model)[:3]
    for run in service.warm_ups(sample.image for sample in found):
        service.do(*run)
    files = []
    for sample in found:
        file = io.BytesIO()
        Image.fromarray(sample.image).save(file, "PNG")
        files.append(file.getvalue())
    programs, rng, seconds = service.model.programs, np.random.default_rng(1), []
    for click in range(50):
        strengths = {name: rng.choice([0, rng.random()]) for name in service.model.tasks}
        began = time.perf_counter()
        assert not service.answer(files[click % len(files)], strengths).failed
        seconds.append(time.perf_counter() - began)
    print(f"a click takes {np.median(seconds):.3f} s, the slowest {max(seconds):.3f} s")
    assert service.model.programs == programs


def test_visitors_at_once_get_their_own(film):
    files = [uploads.image(RNG, (32, 32)) for _ in range(8)]
    alone = [film.answer(data, {"style_1": 1}).result for data in files]
    made = [None] * 8

    def visit(i):
        made[i] = film.answer(files[i], {"style_1": 1}).result

    threads = [threading.Thread(target=visit, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(made, alone)


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_uploads(film, count):
    """Whatever comes, an answer of one line, and in time."""
    rng, done = np.random.default_rng(2), 0
    for data in uploads.uploads(3, count):
        some = rng.choice(NAMES, size=2, replace=False).tolist()
        odd = {name: STRANGE[int(rng.integers(len(STRANGE)))] for name in some}
        strengths = odd if rng.random() < 0.4 else {"style_1": 0.5}
        began = time.perf_counter()
        answer = one_line(film.answer(data, strengths))
        assert time.perf_counter() - began < 20 and len(answer.message) < 500
        if answer.failed or not data:
            assert answer.shown is answer.result is None
            continue
        done += 1
        assert np.isfinite(answer.result).all() and answer.shown[0].shape == answer.shown[1].shape
    assert count / 8 < done < 0.8 * count  # both kinds are there


def test_only_uploads_are_read(tmp_path):
    """Whatever path a browser names."""
    folder, secret = tmp_path / "cache", tmp_path / "secret.png"
    names = ("a.png", "größe ✓.png", "-rf", "..png", "a b.png")
    folder.mkdir()
    secret.write_bytes(b"secret")
    (folder / "link.png").symlink_to(secret)
    for name in names:
        (folder / name).write_bytes(b"x")
        assert uploaded({"path": str(folder / name)}, folder) == b"x"
    odd = (
        *(None, 5, [], "", str(folder / "a.png"), {}, {"path": None}, {"path": 5}, {"path": ""}),
        *({"path": str(path)} for path in (secret, folder, folder / "../secret.png", "/dev/zero")),
        *({"path": str(folder / name)} for name in ("link.png", "gone.png", "a\0b", "a" * 5000)),
        *({"path": "http://127.0.0.1/a.png"}, {"url": str(folder / "a.png")}),
    )
    for payload in odd:
        assert uploaded(payload, folder) is None, payload
    assert sorted(os.listdir(folder)) == sorted([*names, "link.png"])


def test_samples_fit_the_tasks(film):
    found = {sample.name: sample.image for sample in samples(film.model)}
    assert {"scene", "completion", "restoration", "china", "brick"} <= found.keys()
    clean, damaged = found["scene"], found["restoration"]
    assert clean.shape == damaged.shape and clean.dtype == np.uint8
    assert np.ptp(found["brick"].astype(int), axis=-1).max() == 0  # gray, for colourisation


def untrained(config):
    """A run that has begun all its stages, with the parameters that it begins with."""
    experiment = Experiment(config)
    params = jax.jit(experiment.method.init)(jax.random.key(0))
    return Model(experiment, params, experiment.stages, {}, Path(), batch=1)


def test_labels_are_the_likeliest():
    service = Service(untrained(test_streams.config("prefixes")), 1, 1)
    found = samples(service.model)
    assert len(found) == 18 and {sample.name for sample in found} <= set("012345678")
    data = uploads.image(RNG, (32, 32))
    answer = service.answer(data, {"more": 1})
    expected = service.model(pixels_of(data), more=1)
    names = service.model.classes["more"]
    assert answer.labels == {name: float(p) for name, p in zip(names, expected, strict=True)}
    assert list(answer.labels.values()) == sorted(answer.labels.values(), reverse=True)
    assert answer.shown is None and "c =" not in answer.message
    refused(service.answer(data, {"more": 1, "few": 1}), "ask it alone")
    refused(service.answer(data, {"more": 0}), "name a task")


@pytest.mark.slow
def test_a_run_with_masks_does_one_task():
    """Outputs of other widths than an image's, and inputs that a task refuses."""
    config = matsumoto.get_config("piggyback,tiny")
    service = Service(untrained(config), 1, 1)
    gray, colour = uploads.image(RNG, (32, 32), "L"), uploads.image(RNG, (32, 32))
    assert service.model.tasks["colourisation"].channels == 2
    answer = service.answer(gray, {"colourisation": 1})
    np.testing.assert_array_equal(answer.result, service.model(pixels_of(gray), colourisation=1))
    refused(service.answer(colour, {"colourisation": 1}), "this file is in colour")
    refused(service.answer(colour, {"style_1": 1, "style_2": 1}), "ask for one")
    refused(service.answer(colour, {"style_1": 0.5}), "strength 1")
    found = {sample.name: sample.image for sample in samples(service.model)}
    for name in ("colourisation", "brick"):
        file = io.BytesIO()
        Image.fromarray(found[name]).save(file, "PNG")
        assert not service.answer(file.getvalue(), {"colourisation": 1}).failed
