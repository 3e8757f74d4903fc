"""Masks on a network that is told its task by FiLM (ours): a late task by mask, by row, or both."""

from typing import ClassVar

from taskfusion_jax.methods.base import ROWS, Told
from taskfusion_jax.methods.piggyback import Piggyback
from taskfusion_jax.models.conditioning import FilmNorm


class FilmPiggyback(Piggyback):
    """Parameters: `base/...`, with a row of the generators for every task; masks as `piggyback`."""

    backbones = ("transform_net",)
    parts: ClassVar = {"norm": FilmNorm}

    def route(self, vector):
        """All tasks of the base run together."""
        slot = self._slot(vector)
        return "base" if slot in self.base else slot

    def shares(self, name):
        """A row of the generators is a task's own, so matrices of rows are not shared."""
        return super().shares(name) and not name.endswith(ROWS)

    def per_task(self, shapes, slot):
        """Its row of the generators, and what lies below its name but for masks."""
        return super().per_task(shapes, slot) + Told.per_task(self, shapes, slot)
