"""Predicts how training speeds up with more devices; `python -m taskfusion_jax.scaling --help`."""
