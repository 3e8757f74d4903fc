"""How fast a config's network runs and trains here, and beside PyTorch.

python -m taskfusion_jax.benchmark --config=configs/film_voc.py [--against=torch] [--json]
"""
