"""Images with what a classifier takes them for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from taskfusion_jax.report.sheet import ACCENT, LABEL, NOTE, WIDE_GAP, Sheet

WRONG = "#b91c1c"


def predictions_figure(
    path: str | Path,
    tasks: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, Sequence[str]],
) -> None:
    """Draws a line of images per task; below each the class it is taken for and how surely, and
    the true one where that is another. Nothing without tasks.

    Args:
      path: of the PNG file; its folder is made.
      tasks: task -> `input` uint8 [N, H, W, 3]; `scores`, `truth` uint8 [N, classes], 255 = sure.
      labels: task -> names of its classes.
    """
    if not tasks:
        return
    sheet = Sheet("What images are taken for", tasks)
    for name, shown in tasks.items():
        sheet.name(name)
        names, bottom = labels[name], sheet.y
        for i, (x, image) in enumerate(sheet.across(shown["input"])):
            bottom = sheet.y + sheet.image(x, sheet.y, image)
            said, true = shown["scores"][i].argmax(), shown["truth"][i].argmax()
            percent = round(100 * int(shown["scores"][i, said]) / 255)
            colour = ACCENT if said == true else WRONG
            sheet.text(x, bottom + 4, f"{names[said][:14]} {percent}%", LABEL, colour)
            if said != true:
                sheet.text(x, bottom + 26, f"is {names[true][:16]}", NOTE, WRONG)
        sheet.y = bottom + 50 + WIDE_GAP
    sheet.save(path)
