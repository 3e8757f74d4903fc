"""A trained network for others: PyTorch, StableHLO."""
