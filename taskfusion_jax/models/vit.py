"""Vision transformer (Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from taskfusion_jax.errors import UserError, did_you_mean

VARIANTS = {
    "micro": {"width": 64, "depth": 4, "heads": 4},
    "mini": {"width": 128, "depth": 6, "heads": 4},
    "Ti": {"width": 192, "depth": 12, "heads": 3},
    "S": {"width": 384, "depth": 12, "heads": 6},
    "B": {"width": 768, "depth": 12, "heads": 12},
    "L": {"width": 1024, "depth": 24, "heads": 16},
}
"""The published sizes, and ours for small images; `ViT.variant` adds the patch."""

Hooks = Mapping[str, Any]
"""What else acts on the tokens, beside the parameters; see `ViT.__call__` and `Block.__call__`."""


class ViT(nn.Module):
    """Pre-norm transformer on image patches, read at a learnt class token.

    Parameters: `patch/embedding`, `cls`, `pos_embedding`, `block_I/{norm_1, qkv, proj, norm_2,
    fc1, fc2}`, `norm`, `head`. Every projection is a plain dense layer, so that masks, low-rank
    updates and prompts can sit beside these names. The position embedding has the size of the
    image given to `init`, and `apply` refuses others.

    Attributes:
      width: of a token.
      depth: number of blocks.
      heads: attention heads; they share out the width.
      patch: side of a patch in pixels.
      classes: outputs of the head; 0 leaves it off.
      read_prompts: reads the mean of the prompts at the end in place of the class token.
      remat: keeps only what lies between blocks for the backward pass, and computes the rest again.
      dtype: compute dtype; parameters, norm statistics, softmax and head stay float32.
    """

    width: int
    depth: int
    heads: int
    patch: int = 16
    classes: int = 1000
    read_prompts: bool = False
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @classmethod
    def variant(cls, name: str, **options: Any) -> "ViT":
        """The network called `Ti/16`, `S/16`, `B/32`, `L/16`, ...: size and side of a patch.

        Raises:
          UserError: there is no such size, or the patch is no number.
        """
        size, _, patch = name.partition("/")
        if size not in VARIANTS:
            raise UserError(f"no ViT of size '{size}'{did_you_mean(size, VARIANTS)}")
        if not patch.isdecimal() or not int(patch):
            raise UserError(f"'{name}' names no patch; variants look like {size}/16")
        return cls(**VARIANTS[size], patch=int(patch), **options)

    @nn.compact
    def __call__(self, x: jax.Array, hooks: Hooks | None = None) -> jax.Array:
        """Classifies images.

        Args:
          x: [B, H, W, C]; H and W multiples of the patch.
          hooks: what a task adds, all of it optional. `tokens`: [P, width] or [B, P, width],
            prompts that enter before the first block and stay; `block_I`: see `Block`.

        Returns:
          [B, classes] float32 logits, or the class token [B, width] where `classes` is 0.

        Raises:
          UserError: a side is no multiple of the patch.
        """
        height, width = x.shape[1:3]
        if height % self.patch or width % self.patch:
            raise UserError(
                f"images need sides that are multiples of {self.patch}, got {height}x{width}"
            )
        x = PatchEmbedding(self.width, self.patch, self.dtype, name="patch")(x)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, self.width))
        cls = jnp.broadcast_to(cls, (x.shape[0], 1, self.width)).astype(self.dtype)
        x = jnp.concatenate([cls, x], axis=1)
        small = nn.initializers.normal(0.02)
        x += self.param("pos_embedding", small, (1, *x.shape[1:])).astype(self.dtype)
        hooks, own = hooks or {}, x.shape[1]
        x = beside(x, hooks.get("tokens"))
        block = nn.remat(Block) if self.remat else Block
        for i in range(self.depth):
            name = f"block_{i}"
            x = block(self.heads, self.dtype, name=name)(x, hooks.get(name, {}))
        # A norm acts on each token alone, so the others can be dropped before it.
        x = x[:, own:] if self.read_prompts else x[:, :1]
        x = nn.LayerNorm(1e-6, name="norm")(x.astype(jnp.float32)).mean(axis=1)
        if self.classes:
            x = nn.Dense(self.classes, kernel_init=nn.initializers.zeros, name="head")(x)
        return x


class PatchEmbedding(nn.Module):
    """Cuts images into patches and maps each to a token."""

    width: int
    patch: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, C] -> [B, H W / patch^2, width], row by row."""
        side = (self.patch, self.patch)
        conv = nn.Conv(self.width, side, side, "VALID", dtype=self.dtype, name="embedding")
        return rearrange(conv(x), "b h w c -> b (h w) c")


class Block(nn.Module):
    """Self-attention, then an MLP of 4 times the width; each on a norm and added to its input."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, hooks: Hooks) -> jax.Array:
        """x: [B, N, width] -> the same.

        hooks: what a task adds, all of it optional.
          tokens: [P, width], prompts that enter with x and leave before the result.
          keys, values: [P, heads, width / heads], which every token sees beside its own kind's.
          qkv, proj, fc1, fc2: what is done to the output of that layer, see `rectified`.
          adapter_1, adapter_2: what the attention's and the MLP's output passes, see `adapted`.
        """
        width, own = x.shape[-1], x.shape[1]
        x = beside(x, hooks.get("tokens"))

        def norm(x, name):
            return nn.LayerNorm(1e-6, dtype=self.dtype, name=name)(x)

        def dense(x, features, name):
            xavier = nn.initializers.xavier_uniform()
            y = nn.Dense(features, dtype=self.dtype, kernel_init=xavier, name=name)(x)
            return rectified(y, x, hooks.get(name, {}))

        qkv = dense(norm(x, "norm_1"), 3 * width, "qkv")
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.heads)
        if "keys" in hooks:
            k, v = _more(k, hooks["keys"]), _more(v, hooks["values"])
        seen = dense(rearrange(attention(q, k, v), "b h n d -> b n (h d)"), width, "proj")
        x += adapted(seen, hooks.get("adapter_1"))
        hidden = nn.gelu(dense(norm(x, "norm_2"), 4 * width, "fc1"), approximate=False)
        x += adapted(dense(hidden, width, "fc2"), hooks.get("adapter_2"))
        return x[:, :own]


def beside(x: jax.Array, tokens: jax.Array | None) -> jax.Array:
    """Tokens [B, N, width] followed by prompts, [P, width] or [B, P, width], if there are any."""
    if tokens is None:
        return x
    tokens = jnp.broadcast_to(tokens, (x.shape[0], *tokens.shape[-2:])).astype(x.dtype)
    return jnp.concatenate([x, tokens], axis=1)


def _more(own: jax.Array, more: jax.Array) -> jax.Array:
    """Keys or values [B, heads, N, d] after those of a prefix, [P, heads, d]."""
    more = jnp.swapaxes(more, 0, 1)[None].astype(own.dtype)
    return jnp.concatenate([jnp.broadcast_to(more, (own.shape[0], *more.shape[1:])), own], axis=2)


def rectified(y: jax.Array, x: jax.Array, part: Hooks) -> jax.Array:
    """The output y [B, N, outputs] of a dense layer for x [B, N, inputs], with its weights changed.

    part: `down` [inputs, K] and `up` [K, outputs], whose product is added to the weights; `scale`
    [outputs], by which the output grows.
    """
    if "down" in part:
        y += (x @ part["down"].astype(x.dtype)) @ part["up"].astype(x.dtype)
    return y * (1 + part["scale"].astype(y.dtype))[None, None] if "scale" in part else y


def adapted(y: jax.Array, part: Hooks | None) -> jax.Array:
    """y [B, N, width] plus a small network of it, `down` and `up` with a kernel and a bias each."""
    if part is None:
        return y

    def dense(x, layer):
        return x @ layer["kernel"].astype(x.dtype) + layer["bias"].astype(x.dtype)[None, None]

    return y + dense(nn.gelu(dense(y, part["down"])), part["up"])


def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """softmax(q k^T / sqrt(d)) v, the softmax in float32; all [B, heads, N, d].

    On a CPU a quarter faster, with its gradient, than `jax.nn.dot_product_attention`, which wants
    the heads beside d.
    """
    scores = jnp.einsum("bhnd,bhmd->bhnm", q, k, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores * q.shape[-1] ** -0.5)
    return jnp.einsum("bhnm,bhmd->bhnd", weights.astype(v.dtype), v)
