"""Task 0, the zero vector: give back the input (paper 004, section 3.1)."""

from taskfusion_jax.tasks.base import Task


class Reconstruction(Task):
    """The identity, from which every strength sweep starts."""
