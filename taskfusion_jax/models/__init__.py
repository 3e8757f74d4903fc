"""Pure Flax modules: (params, x, c) -> y."""
