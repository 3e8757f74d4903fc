"""PatchGAN discriminator (Isola et al. 2017), told which task it judges."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import repeat

from taskfusion_jax.models.layers import instance_norm


class PatchGAN(nn.Module):
    """Strided 4x4 convolutions; every output judges one patch of the image.

    With 3 layers a patch is 70x70 pixels, with 2 it is 34x34, with 1 it is 16x16: choose about a
    quarter of the image's side (our choice, as the paper gives no discriminator).

    Attributes:
      width: channels of the first layer.
      layers: number of strided layers.
      dtype: compute dtype of the convolutions.
    """

    width: int = 64
    layers: int = 2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """x: [B, H, W, 3] in [0, 1], c: [B, slots] -> [B, h, w, 1] float32: 1 real, 0 made up."""
        planes = repeat(c, "b s -> b h w s", h=x.shape[1], w=x.shape[2])
        h = jnp.concatenate([2 * x - 1, planes], axis=-1).astype(self.dtype)

        def conv(h, features, stride):
            return nn.Conv(features, (4, 4), stride, padding=1, dtype=self.dtype)(h)

        for i in range(self.layers + 1):
            stride = 2 if i < self.layers else 1
            h = conv(h, self.width * 2 ** min(i, 3), stride)
            h = nn.leaky_relu(h if i == 0 else instance_norm(h), 0.2)
        return conv(h, 1, 1).astype(jnp.float32)
