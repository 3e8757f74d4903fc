"""A page in the browser that shows what a run has learnt: `python -m taskfusion_jax.demo`."""
