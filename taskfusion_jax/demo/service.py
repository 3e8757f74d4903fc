"""What a page asks of a run: an uploaded file and strengths in, a picture or labels, and one line
for people, out. Nothing here knows what the page is made with."""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from taskfusion_jax.data.arrays import to_bytes, to_rgba
from taskfusion_jax.data.images import decode_picture
from taskfusion_jax.errors import UserError, one_line
from taskfusion_jax.inference.model import Model, Strengths
from taskfusion_jax.inference.predictor import TOP

SHOWN = 1280
"""Longest side of the copies that a page shows, in pixels; what is downloaded has them all."""
MB = 2**20
"""Bytes."""
_FILE = "this file"  # names of visitors' files go nowhere, not even into messages


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a visitor gets.

    Attributes:
      message: one line: what was done, or what is wrong.
      failed: whether it tells what is wrong. All else is then None, as it is without a file.
      shown: the input and the result to look at, each uint8 [h, w, 3], laid on white, no side
        longer than `SHOWN`; None where the task makes no image.
      result: the result to keep, float32 [H, W, 3] in [0, 1], as large as the input.
      given: the input where it is transparent, uint8 [H, W, 4], else None.
      labels: the likeliest classes and their probabilities, of a classification.
    """

    message: str
    failed: bool = False
    shown: tuple[np.ndarray, np.ndarray] | None = None
    result: np.ndarray | None = None
    given: np.ndarray | None = None
    labels: Mapping[str, float] | None = None


class Service:
    """Answers one visitor at a time, whoever calls it from however many threads."""

    def __init__(self, model: Model, max_mb: float, max_megapixels: float):
        """max_mb: size of the largest file, in `MB`; max_megapixels: of the largest image."""
        self.model, self._bytes, self._pixels = model, max_mb * MB, max_megapixels * 1e6
        self._alone = threading.Lock()

    def answer(self, data: bytes | None, strengths: Mapping[str, Any]) -> Answer:
        """Does what a visitor asks for.

        Args:
          data: the uploaded file, whatever it holds; None or empty where there is none.
          strengths: task -> what a slider says of it; those at 0 are left out.

        Returns:
          An answer, also where something is wrong: nothing that a visitor sends raises.
        """
        try:
            return self._answer(data, strengths)
        except UserError as error:
            return Answer(one_line(str(error)), failed=True)
        except Exception as error:
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):  # of XLA
                says = "there is not enough memory for this image: make it smaller"
            else:
                logging.exception("an image could not be done")
                says = "this image could not be done; the terminal of the page says why"
            return Answer(says, failed=True)

    def wanted(self, strengths: Mapping[str, Any]) -> dict[str, float]:
        """What the model is asked for: the strengths that are not 0; of a run that blends tasks, 0
        of all of them is asked for as 0 of one, which gives the image back.

        Raises:
          UserError: a strength is no number.
        """
        numbers = {name: _number(name, value) for name, value in strengths.items()}
        asked = {name: value for name, value in numbers.items() if value != 0}
        if not asked and self.model.method.blends:
            return {next(iter(self.model.tasks)): 0.0}
        return asked

    def warm_ups(self, images: Iterable[np.ndarray]) -> list[tuple[np.ndarray, Strengths]]:
        """What to do once, by `do`, so that nothing has to be compiled for images, uint8 [H, W, 3],
        of these sizes: every task alone, and what was learnt together."""
        sizes = {image.shape: image for image in images}.values()
        wishes = [{name: 1.0} for name in self.model.tasks]
        if self.model.method.combines:
            wishes += [dict.fromkeys(parts, 1.0) for parts in self.model.combinations.values()]
        return [(image, wish) for image in sizes for wish in wishes]

    def do(self, image: np.ndarray, strengths: Strengths) -> np.ndarray:
        """As the model itself, for one image and whoever else asks."""
        with self._alone:
            return next(self.model.stream([(image, strengths)]))

    def _answer(self, data: bytes | None, strengths: Mapping[str, Any]) -> Answer:
        if not data:
            return Answer("Drop an image, or take a sample.")
        if len(data) > self._bytes:
            raise UserError(f"{_FILE} is larger than {self._bytes / MB:g} MB: make it smaller")
        wanted = self.wanted(strengths)
        with self._alone:
            vector = self.model.vector(wanted)
        image, given = decode_picture(data, _FILE, self._pixels)
        self.model.check(image, wanted, _FILE)
        began = time.perf_counter()
        made = self.do(image, wanted)
        seconds = time.perf_counter() - began
        message = self._line(wanted, vector, image, seconds)
        if made.ndim == 1:
            return Answer(message, labels=self._likely(self.model.only_task(wanted).name, made))
        shown = _small(image), _small(_on_white(made, given))
        return Answer(message, shown=shown, result=made, given=given)

    def _line(self, wanted: Strengths, vector: np.ndarray, image: np.ndarray, s: float) -> str:
        asked = " + ".join(name if x == 1 else f"{name} {x:.2g}" for name, x in wanted.items() if x)
        height, width = image.shape[:2]
        parts = [asked or "nothing is asked for", f"{width} x {height} pixels", f"{s:.2f} s"]
        if self.model.method.blends:
            parts.insert(1, f"c = {_vector(vector)}")
        return " · ".join(parts)

    def _likely(self, task: str, scores: np.ndarray) -> dict[str, float]:
        names = self.model.classes[task]
        return {names[i]: float(scores[i]) for i in np.argsort(-scores)[:TOP]}


def uploaded(payload: Any, folder: Path) -> bytes | None:
    """The bytes of the file that a browser names as `{"path": ...}`; None where it names none that
    lies in `folder`, where uploads do."""
    path = payload.get("path") if isinstance(payload, Mapping) else None
    if not isinstance(path, str):
        return None
    try:
        path = Path(path).resolve()
        inside = path.is_relative_to(folder.resolve()) and path.is_file()
        return path.read_bytes() if inside else None
    except (OSError, ValueError):  # too long a name, a zero byte in it, just removed
        return None


def _number(name: str, value: Any) -> float:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return float(value)
    raise UserError(f"{name}: a strength is a number between 0 and 1")


def _vector(vector: np.ndarray) -> str:
    """Every number of a short vector; of a long one those that are not 0."""
    if len(vector) <= 12:
        return f"[{', '.join(f'{x:.2g}' for x in vector)}]"
    some = ", ".join(f"{x:.2g} in slot {i}" for i, x in enumerate(vector) if x)
    return f"{some or '0'} of {len(vector)}"


def _on_white(image: np.ndarray, given: np.ndarray | None) -> np.ndarray:
    """float [H, W, 3] -> uint8 as a viewer with a white page shows it."""
    if given is None:
        return to_bytes(image)
    made = Image.fromarray(to_rgba(image, given))
    white = Image.new("RGBA", made.size, "white")
    return np.asarray(Image.alpha_composite(white, made).convert("RGB"))


def _small(image: np.ndarray) -> np.ndarray:
    """No side longer than `SHOWN`; uint8 [H, W, 3]."""
    small = Image.fromarray(image)
    small.thumbnail((SHOWN, SHOWN))
    return np.asarray(small)
