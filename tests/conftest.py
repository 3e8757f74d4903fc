"""Shared set-up of the tests: CPU, flags parsed, strict rank promotion."""

import os
import shutil
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from absl import flags

jax.config.update("jax_numpy_rank_promotion", "raise")


_PROGRAMS = "TASKFUSION_TEST_PROGRAMS"


def pytest_configure():
    """One folder for compiled programs of all workers, which inherit the environment."""
    os.environ.setdefault(_PROGRAMS, tempfile.mkdtemp(prefix="taskfusion_programs_"))


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[_PROGRAMS], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _flags_parsed():
    """Grain reads absl flags; outside `app.run` nobody parses them."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


_LONG = ("test_train", "test_distributed", "test_mesh", "test_kill", "test_compare", "test_configs")


def pytest_collection_modifyitems(items):
    """Files that take minutes come first, so that two workers end together."""
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else 99)
