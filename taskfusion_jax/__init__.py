"""taskfusion_jax: many image tasks fused into one network."""

__version__ = "0.1.0"


def __getattr__(name: str):
    """`load` and `Model` come when asked for: importing jax takes seconds."""
    if name in ("load", "Model"):
        from taskfusion_jax.inference import model

        return getattr(model, name)
    raise AttributeError(f"module 'taskfusion_jax' has no attribute '{name}'")
