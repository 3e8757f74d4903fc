"""The ViT of google-research/vision_transformer, its arrays named as in the published `*.npz`.

Attention is Flax's own. GELU is the exact one, for ours is; the published code has the tanh.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.engine.names import flatten, unflatten


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        x = nn.gelu(nn.Dense(4 * width, name="Dense_0")(x), approximate=False)
        return nn.Dense(width, name="Dense_1")(x)


class EncoderBlock(nn.Module):
    heads: int

    @nn.compact
    def __call__(self, x):
        attention = nn.MultiHeadDotProductAttention(
            self.heads, name="MultiHeadDotProductAttention_1"
        )
        x += attention(nn.LayerNorm(name="LayerNorm_0")(x))
        return x + Mlp(name="MlpBlock_3")(nn.LayerNorm(name="LayerNorm_2")(x))


class Positions(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + self.param("pos_embedding", nn.initializers.normal(), (1, *x.shape[1:]))


class Encoder(nn.Module):
    depth: int
    heads: int

    @nn.compact
    def __call__(self, x):
        x = Positions(name="posembed_input")(x)
        for i in range(self.depth):
            x = EncoderBlock(self.heads, name=f"encoderblock_{i}")(x)
        return nn.LayerNorm(name="encoder_norm")(x)


class FlaxViT(nn.Module):
    width: int
    depth: int
    heads: int
    patch: int
    classes: int

    @nn.compact
    def __call__(self, x):
        side = (self.patch, self.patch)
        x = nn.Conv(self.width, side, side, "VALID", name="embedding")(x)
        x = x.reshape(len(x), -1, self.width)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, self.width))
        x = jnp.concatenate([jnp.tile(cls, (len(x), 1, 1)), x], 1)
        x = Encoder(self.depth, self.heads, name="Transformer")(x)
        return nn.Dense(self.classes, name="head")(x[:, 0])


def random_arrays(shapes, seed):
    """Name -> array away from what it starts as, for a tree of shapes."""
    rng = np.random.default_rng(seed)

    def draw(name, shape):
        kernel = name.endswith("kernel")
        rows = np.prod(shape[:-2] if name.endswith(("query/kernel", "key/kernel")) else shape[:-1])
        scale = rows**-0.5 if kernel else 0.3
        return rng.normal(name.endswith("scale"), scale, shape).astype(np.float32)

    return {name: draw(name, leaf.shape) for name, leaf in flatten(shapes).items()}


def as_tree(arrays):
    return {"params": unflatten(arrays)}
