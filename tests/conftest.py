"""Shared set-up of the tests: CPU, flags parsed, strict rank promotion."""

import os
import shutil
import tempfile

_PROGRAMS = "JAX_COMPILATION_CACHE_DIR"
_SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    # Programs are compiled once, quickly and carelessly: every run here is tiny. Workers and the
    # processes that tests start inherit this.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "True",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
os.environ.update({name: x for name, x in _SETTINGS.items() if name not in os.environ})
_made = "" if _PROGRAMS in os.environ else tempfile.mkdtemp(prefix="taskfusion_programs_")
os.environ.setdefault(_PROGRAMS, _made)

import jax  # noqa: E402
import pytest  # noqa: E402
from absl import flags  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_unconfigure():
    if _made:
        shutil.rmtree(_made, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _flags_parsed():
    """Grain reads absl flags; outside `app.run` nobody parses them."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


_LONG = (
    *("test_distributed", "test_train", "test_streams", "test_compare", "test_mesh"),
    *("test_configs", "test_methods", "test_kill", "test_predict", "test_torch"),
)


def pytest_collection_modifyitems(items):
    """Files that take minutes come first, so that two workers end together."""
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else 99)
