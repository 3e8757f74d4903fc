"""A contact sheet: rows of images with a name at the left and labels above."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from taskfusion_jax.report.sheet import GAP, MUTED, Sheet


def contact_sheet(
    path: Path, title: str, labels: Sequence[str], rows: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Writes a PNG and says where.

    Args:
      path: of the file.
      title: above all.
      labels: of the columns.
      rows: name -> images [H, W, 3], uint8 or in [0, 1], as many as labels.
    """
    sheet = Sheet(title, rows)
    sheet.labels(labels, MUTED)
    for name, images in rows.items():
        sheet.name(name)
        sheet.y += GAP + max(sheet.image(x, sheet.y, image) for x, image in sheet.across(images))
    sheet.save(path)
    print(f"Picture: {path}")
