"""Tables and the figure of masks hold the numbers of a study, where they belong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.engine import names
from taskfusion_jax.models.unet import UNet
from taskfusion_jax.report.masks import (
    compression_grid,
    short_names,
    similarity_grid,
    zeros_figure,
)
from taskfusion_jax.report.table import DASH, markdown_table

BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)  # the first two colours of figures


def numbers(zeros, **changes):
    return {
        "zeros": sum(zeros.values()) / len(zeros),
        "zeros_per_layer": zeros,
        "entropy": 0.98765,
        "bytes": {"packed": 1_847_000, "zstd": 1_700_000, "lzma": 1_700_001},
        "difference": None,
        "low_rank": {"energy": 0.254, "random": None, "weights": 1.0},
        **changes,
    }


@pytest.fixture
def study():
    apart = {"task": "voc", "entropy": 0.5, "zstd": 999}
    return {
        "base": "coco",
        "weights": 5,
        "layers": {"decoder/conv_0/kernel": 2, "encoder/conv_0/kernel": 3},
        "similarity": {"voc": {"coco": 0.50754}, "munch": {"coco": 0.45, "voc": 1}},
        "tasks": {
            "voc": numbers({"decoder/conv_0/kernel": 0.25, "encoder/conv_0/kernel": 1.0}),
            "munch": numbers(
                {"decoder/conv_0/kernel": 0.5, "encoder/conv_0/kernel": 0.0}, difference=apart
            ),
        },
    }


def texts(grid):
    return {names[0]: [cell.text for cell in cells] for names, cells in grid.rows}


def test_similarities_are_a_lower_triangle_of_four_digits(study):
    grid = similarity_grid(study)
    assert grid.headings == ("coco", "voc")
    assert texts(grid) == {"voc": ["0.5075", DASH], "munch": ["0.4500", "1.0000"]}


def test_compression_marks_the_fewest_bytes(study):
    grid = compression_grid(study)
    assert all(len(cells) == len(grid.headings) for _, cells in grid.rows)
    first = ["62.5", "0.9877", "1,847,000", "1,700,000", "1,700,001", *[DASH] * 3, "25.4", DASH]
    second = ["25.0", *first[1:5], "voc", "0.5000", "999", *first[-2:]]
    assert texts(grid) == {"voc": first, "munch": second}
    best = [[cell.text for cell in cells if cell.best] for _, cells in grid.rows]
    assert best == [["1,700,000"], ["999"]]
    assert "**999**" in markdown_table(grid)


def test_layers_stand_in_the_order_an_image_passes_them():
    params = jax.eval_shape(UNet(0).init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    kernels = sorted(name for name in names.flatten(params) if name.endswith("kernel"))
    passed = [" ".join(both) for both in short_names(kernels).values()]
    encoder = [f"encoder conv{level}_{i}" for level in range(1, 6) for i in (1, 2)]
    decoder = [
        f"decoder {name}"
        for level in (4, 3, 2, 1)
        for name in (f"up-conv{level}", f"conv{level}_1", f"conv{level}_2")
    ]
    assert passed == encoder + decoder


def test_layers_of_other_networks_keep_their_names():
    blocks = [f"blocks/block_{i}/conv_1/conv/kernel" for i in (10, 2)]
    ends = ["decoder/out/conv/kernel", "decoder/up_0/conv/kernel", "encoder/down_0/conv/kernel"]
    shown = ["down_0", "block_2/conv_1", "block_10/conv_1", "up-conv1", "out"]
    assert [short for _, short in short_names(blocks + ends).values()] == shown
    told = [f"{name}/conv/kernel" for name in ("block_0_a", "down_0", "out", "up_0")]
    found = list(short_names(told).values())
    assert found == [("", name) for name in ("down_0", "block_0_a", "up_0", "out")]


def test_bars_are_as_high_as_the_shares_of_zeros(study, tmp_path):
    path = tmp_path / "new" / "zeros.png"
    zeros_figure(path, study)
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
    below = picture[60:]  # without the legend
    encoder, decoder = ((below == colour).all(-1).sum(0).max() for colour in (BLUE, ORANGE))
    # Of both tasks together: 1 + 0 in the encoder, 0.25 + 0.5 in the decoder.
    assert decoder / encoder == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("layers", (1, 27))
@pytest.mark.parametrize("tasks", (1, 5))
def test_the_figure_grows_with_layers_and_tasks(tmp_path, layers, tasks):
    zeros = {f"block_{i}/kernel": i / layers for i in range(layers)}
    several = {f"task_{i}": numbers(zeros) for i in range(tasks)}
    zeros_figure(tmp_path / "a.png", {"layers": dict.fromkeys(zeros, 1), "tasks": several})
    with Image.open(tmp_path / "a.png") as image:
        width, height = image.size
    assert width == pytest.approx(140 * max(5, 1.1 + 0.34 * layers), abs=1)
    assert 140 * 1.6 * tasks < height < 140 * (1.6 * tasks + 2)
