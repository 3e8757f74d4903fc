"""Bad arguments, on the command line and of the function: one clear line each, or the result."""

import fractions
import math
import random

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskfusion_jax.inference.asked import parse_strengths, parse_sweep
from taskfusion_jax.inference.asked import settings as every_setting
from taskfusion_jax.inference.model import load
from tests.fails import fails
from tests.inference.watched import told, untrained

NUMBERS = (
    *("", "0", "1", "0.5", ".5", "1e-400", "1e400", "-0", "-1", "2", "nan", "-nan", "inf", "-inf"),
    *(
        "1_0",
        "0x1",
        "0,5",
        "½",
        "²",
        "\u0661",
        "\uff11",
        "1.0.0",
        "1 1",
        "None",
        "9" * 5000,
        "\0",
        "\ud800",
    ),
)
NAMES = (
    *("style_1", "restoration", "", " ", "style_3", "STYLE_1", "restoration+style_1", "+", "絵"),
    *("\x1b[31m", "\n", "\udcff", "../style_1", "a" * 100_000, "%s", "{x}", "__class__", "segment"),
)


def texts(count, seed=0):
    """Lists of tasks and sweeps, put together from good and bad parts."""
    draw = random.Random(seed)
    for _ in range(count):
        pairs = (
            f"{draw.choice(NAMES)}{draw.choice(['=', '', '=='])}{draw.choice(NUMBERS)}"
            for _ in range(draw.choice([1, 1, 2, 3]))
        )
        yield draw.choice([",", ",,", ";"]).join(pairs)
        yield f"{draw.choice(NAMES)}={':'.join(draw.choice(NUMBERS) for _ in range(3))}"
        yield f"style_1=0:{draw.choice(NUMBERS)}:{draw.choice(NUMBERS)}"


def asked(text):
    """The task vectors of what follows --tasks and --sweep."""
    model, found = untrained("film"), []
    for strengths, sweep in ((text, None), ("restoration", text)):
        found.append(
            told(
                lambda strengths=strengths, sweep=sweep: [
                    model.vector(one)
                    for one in every_setting(
                        parse_strengths(strengths), parse_sweep(sweep) if sweep else None
                    )
                ],
                text[:80],
            )
        )
    return found


def check(text):
    for vectors in asked(text):
        for vector in vectors if isinstance(vectors, list) else ():
            assert np.isfinite(vector).all() and vector.min() >= 0 and vector.max() <= 1


def test_what_is_asked_for():
    for text in texts(150):
        check(text)


@pytest.mark.slow
def test_more_that_is_asked_for():
    for text in texts(3000, seed=1):
        check(text)


@settings(max_examples=60, deadline=None)
@given(st.text() | st.from_regex(r"[a-z_1+]{0,9}=[-.0-9einaf:]{0,12}(,[a-z_1]{0,9}=?)*"))
def test_any_text_is_asked_for(text):
    check(text)


def test_very_many_tasks():
    check(",".join(f"task_{i}=1" for i in range(20_000)))
    check(",".join(["style_1=1"] * 20_000))
    check("," * 100_000)


@pytest.mark.parametrize("text", ["style_1=0:1:²", "style_1=0:1:" + "9" * 5000, "style_1=0:inf:3"])
def test_sweeps_that_are_numbers_to_some(text):
    fails(lambda: parse_sweep(text), "--sweep")


STRENGTHS = (
    *(math.nan, math.inf, -1, 2, 10**400, "1", "x\ny", None, 1j, [], [0.5, 0.5], {}, object()),
    *(b"1", np.nan, np.zeros((2, 2)), slice(1), -1e-9, 1 + 1e-9),
)


@pytest.mark.parametrize("strength", STRENGTHS, ids=lambda x: type(x).__name__)
def test_strengths_that_are_none(strength):
    model = untrained("film")
    fails(lambda: model.vector({"style_1": strength}), "style_1=", "between 0 and 1")


@pytest.mark.parametrize(
    "half", [0.5, np.float16(0.5), np.array(0.5), jnp.float32(0.5), fractions.Fraction(1, 2)]
)
def test_strengths_of_many_types(half):
    model = untrained("film")
    np.testing.assert_array_equal(model.vector({"style_1": half}), model.vector({"style_1": 0.5}))


SIZES = (0, -1, -(10**30), 10**30, 1.5, 8.0, math.nan, math.inf, "8", None, [8], np.float32(8))


@pytest.mark.parametrize("size", SIZES, ids=repr)
@pytest.mark.parametrize("name", ["tile", "batch"])
def test_sizes_that_are_none(name, size):
    fails(lambda: load("nowhere", **{name: size}), f"{name}=", "whole number from 1")


def _strided(*shape):
    """Zeros that take no memory."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, [0] * len(shape))


UNIT = np.random.default_rng(0).random((20, 20, 3))
GOOD = {
    "list": UNIT.tolist(),
    "float64": UNIT,
    "float16": UNIT.astype(np.float16),
    "longdouble": UNIT.astype(np.longdouble),
    "big endian": UNIT.astype(">f4"),
    "transposed": UNIT.transpose(1, 0, 2),
    "backwards": UNIT[::-1, ::-1, ::-1],
    "steps": np.repeat(UNIT, 3, axis=0)[::3],
    "fortran": np.asfortranarray(UNIT),
    "broadcast": np.broadcast_to(UNIT[:1, :1], (20, 20, 3)),
    "read-only": np.frombuffer(UNIT.tobytes()).reshape(20, 20, 3),
    "masked": np.ma.masked_less(UNIT, 0.5),
    "jax": jnp.asarray(UNIT),
    "rounding": UNIT * 1.0005,
    "subnormal": np.full((20, 20, 3), 1e-40, np.float32),
    "minus zero": np.full((20, 20, 3), -0.0, np.float32),
    "bytes": (UNIT * 255).astype(np.uint8),
}
BAD = {
    "nan": np.where(UNIT > 0.99, np.nan, UNIT),
    "inf": np.where(UNIT > 0.99, np.inf, UNIT),
    "minus inf": np.where(UNIT > 0.99, -np.inf, UNIT),
    "bytes as floats": UNIT * 255,
    "minus one to one": UNIT * 2 - 1,
    "huge": np.full((20, 20, 3), 1e300),
    **{
        kind: np.ones((20, 20, 3), kind)
        for kind in ("bool", "int8", "uint16", "int32", "int64", "complex64", "object", "S3", "U3")
    },
    "dates": np.zeros((20, 20, 3), "M8[s]"),
    "record": np.zeros((20, 20, 3), [("r", "f4")]),
    "nones": np.full((20, 20, 3), None),
    "scalar": np.float32(1),
    "flat": UNIT.ravel(),
    "gray": UNIT[..., 0],
    "one channel": UNIT[..., :1],
    "four channels": np.dstack([UNIT, UNIT[..., :1]]),
    "channels first": UNIT.transpose(2, 0, 1),
    "five axes": UNIT[None, None],
    "no rows": UNIT[:0],
    "no columns": UNIT[:, :0],
    "no images": UNIT[None][:0],
    "no channels": UNIT[..., :0],
    "ragged": [[[0.5, 0.5, 0.5]], [[0.5, 0.5]]],
    "ragged images": [UNIT, UNIT[:10]],
    "empty list": [],
    "text": "photo.png",
    "none": None,
    "dict": {"image": UNIT},
    "generator": (x for x in UNIT),
    "large": _strided(10**6, 10**6, 3),
    "larger": _strided(2, 2**20, 2**20, 3),
}


@pytest.mark.parametrize("name", GOOD)
def test_images_of_many_kinds(name):
    made = told(lambda: untrained("film")(GOOD[name], style_1=0.5), name, 60)
    assert made.shape == (20, 20, 3) and np.isfinite(made).all()
    if np.allclose(np.asarray(GOOD[name], np.float64), UNIT, atol=1e-3):
        np.testing.assert_allclose(made, untrained("film")(UNIT, style_1=0.5), atol=0.05)


@pytest.mark.parametrize("name", BAD)
def test_images_that_are_none(name):
    images = BAD[name]
    said = told(lambda: untrained("film")(images, style_1=0.5), name)
    assert isinstance(said, str) and said.startswith("images must be [B, H, W, 3]"), said


def test_a_stream_checks_each_image():
    model, good = untrained("film"), (UNIT, {"style_1": 1.0})
    for name in ("nan", "int64", "gray", "ragged", "none"):
        fails(lambda name=name: list(model.stream([good, (BAD[name], good[1])])), "images must be")
