"""How tests watch what bad input does: errors are one line, time passes, files change."""

import contextlib
import functools
import hashlib
import os
import re
import signal
from pathlib import Path

import pytest

from configs import quickstart
from taskfusion_jax.engine.progress import make_console
from taskfusion_jax.errors import LONGEST, UserError
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.inference.model import Model
from taskfusion_jax.inference.predictor import Predictor
from tests import test_streams
from tests.inference import bad_images

WAY_OUT = re.compile(
    r"\b(add|ask|change|check|convert|copy|cut|did you mean|divide|give|known|leave|make|move"
    r"|name|put|remove|rename|replaces?|save|set|write|between 0 and 1|has 2 to 64|strength 1)\b"
)


WANTED = ({"style_1": 1.0},)


@contextlib.contextmanager
def within(seconds: float, case: str):
    """Fails where the case takes longer."""

    def late(*_):
        pytest.fail(f"{case} took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check_line(line: str) -> None:
    """Asserts that a message is one line that a terminal shows as it is, with a way out."""
    assert line.isprintable() and len(line) <= LONGEST + 5, ascii(line)
    assert WAY_OUT.search(line), line


def told(act, case: str, seconds: float = 5.0):
    """What `act()` gives, or the checked message of its UserError; anything else is a failure."""
    with within(seconds, case):
        try:
            return act()
        except UserError as error:
            check_line(str(error))
            return str(error)


def listing(folder: Path, without: Path | None = None) -> dict[str, tuple]:
    """Everything below a folder: what it is, when it changed and what it holds."""
    found = {}
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if Path(place, name) != without]
        for name in (*below, *names):
            path = os.path.join(place, name)
            facts = os.lstat(path)
            holds = os.readlink(path) if os.path.islink(path) else ""
            if os.path.isfile(path) and not holds:
                holds = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            changed = None if name in below else facts.st_mtime_ns
            found[path] = (facts.st_mode, changed, holds)
    return found


@functools.cache
def untrained(kind: str) -> Model:
    """A small network with random parameters, "film" for images or "labels" for classes, which
    sees pieces of 32 x 32."""
    config = quickstart.get_config("tiny") if kind == "film" else test_streams.config("prefixes")
    experiment = Experiment(config)
    params = experiment.eval_params(experiment.init_state())
    return Model(experiment, params, experiment.stages, {}, Path("none"), tile=32, batch=8)


def predict(given, output, overwrite=False, kind="film", wanted=WANTED):
    """(how many were done, what failed, labels), every line checked."""
    predictor = Predictor(untrained(kind), list(wanted), output, overwrite)
    done = predictor(given, make_console(quiet=True))
    for line in predictor.failed:
        check_line(line)
    return done, predictor.failed, predictor.labels


def save(path, data=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data or bad_images.whole()["rgb.png"])
    return path
