"""Mesh, state, step, optimiser, checkpoints, writers."""
