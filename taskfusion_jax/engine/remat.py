"""Rematerialisation: the backward pass computes again what was not kept, and needs less memory."""

from collections.abc import Callable

import jax

# What each choice keeps, by the names that the models give with `checkpoint_name`.
KEEPS = {
    "conv": ("conv",),  # norms, activations and padding are cheap to repeat
    "block": ("block",),  # about a third more computing, least memory
}


def rematerialised(loss: Callable, keep: str) -> Callable:
    """`loss` keeping only what KEEPS[keep] names for its backward pass; all where it is empty."""
    if not keep:
        return loss
    policy = jax.checkpoint_policies.save_only_these_names(*KEEPS[keep])
    return jax.checkpoint(loss, policy=policy)
