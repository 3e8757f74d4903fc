"""Shared set-up of the tests: CPU, flags parsed, strict rank promotion."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from absl import flags

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def _flags_parsed():
    """Grain reads absl flags; outside `app.run` nobody parses them."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


_LONG = ("test_train", "test_distributed", "test_mesh", "test_kill", "test_compare", "test_configs")


def pytest_collection_modifyitems(items):
    """Files that take minutes come first, so that two workers end together."""
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else 99)
