"""taskfusion_jax: many image tasks fused into one network."""

__version__ = "0.1.0"
