"""Convolutions in forms that compute the same numbers with less work.

An image of twice the size is kept as its *phases*: `[B, H, W, 2, 2, C]`, where `[h, w, p, q]` is
the pixel `(2 h + p, 2 w + q)`. Whatever treats pixels alike (norms, ReLU) works on phases as well.
"""

import jax
import jax.numpy as jnp
from einops import rearrange


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolution without padding. x: [B, H, W, C], kernel: [k, k, C, O]."""
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def reflect_convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolution of the image padded by reflection.

    x: [B, H, W, C], kernel: [k, k, C, O], k odd -> [B, ceil(H / stride), ceil(W / stride), O].
    """
    pad = len(kernel) // 2
    return convolve(mirror(x, pad, skip=1), kernel, stride)


def upsample_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`reflect_convolve` of the image enlarged to twice its size by its nearest pixels.

    Three rows of the large image lie in two of the small one, so a phase is a 2x2 convolution of
    the small image (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional
    layer?"): 2.25 times less work. Reflecting the large image repeats the edge of the small one.

    x: [B, H, W, C], kernel: [3, 3, C, O] -> phases [B, H, W, 2, 2, O].
    """
    small = _fold(_fold(kernel, 0), 2)
    small = rearrange(small, "p i q j c o -> i j c (p q o)")
    return _align(convolve(mirror(x, 1, skip=0), small))


def _fold(kernel: jax.Array, axis: int) -> jax.Array:
    """Taps of phases 0 and 1 on the small image: 3 on `axis` -> [2 phases, 2 taps] there."""
    first, middle, last = jnp.split(kernel, 3, axis)
    phases = [jnp.concatenate([first, middle + last], axis)]
    phases += [jnp.concatenate([first + middle, last], axis)]
    return jnp.stack(phases, axis)


@jax.custom_vjp
def _align(y: jax.Array) -> jax.Array:
    """Phase (p, q) of pixel (h, w) stands at (h + p, w + q): [B, H + 1, W + 1, 4 O] -> phases."""
    height, width, features = y.shape[1] - 1, y.shape[2] - 1, y.shape[3] // 4
    phases = [
        y[:, p : p + height, q : q + width, (2 * p + q) * features :][..., :features]
        for p in (0, 1)
        for q in (0, 1)
    ]
    return jnp.concatenate(phases, axis=-1).reshape(*phases[0].shape[:3], 2, 2, features)


def _align_forward(y: jax.Array) -> tuple[jax.Array, None]:
    return _align(y), None


def _align_backward(_: None, g: jax.Array) -> tuple[jax.Array]:
    """Autodiff would add four padded arrays; they never overlap."""
    padded = [
        jnp.pad(g[:, :, :, p, q], ((0, 0), (p, 1 - p), (q, 1 - q), (0, 0)))
        for p in (0, 1)
        for q in (0, 1)
    ]
    return (jnp.concatenate(padded, axis=-1),)


_align.defvjp(_align_forward, _align_backward)


def phases_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`reflect_convolve` of an image in phases.

    Four times the channels fill matrix units that a few would leave idle.

    x: phases [B, H, W, 2, 2, C], kernel: [k, k, C, O], k = 1, 5, 9, ...
      -> phases [B, H, W, 2, 2, O].

    Raises:
      ValueError: another k, whose border would not be whole cells.
    """
    k, features = len(kernel), kernel.shape[-1]
    if k % 4 != 1:
        raise ValueError(f"phases_convolve takes kernels of side 1, 5, 9, ..., not {k}")
    x = _reflect(_reflect(x, 1, k // 4), 2, k // 4)
    # Tap t of phase p reads pixel p + t, which is phase (p + t) % 2 of cell (p + t) // 2.
    shifted = [
        [jnp.pad(kernel, ((p, 1 - p), (q, 1 - q), (0, 0), (0, 0))) for q in (0, 1)] for p in (0, 1)
    ]
    kernel = rearrange(
        jnp.stack([jnp.stack(row) for row in shifted]),
        "p q (i r) (j s) c o -> i j (r s c) (p q o)",
        r=2,
        s=2,
    )
    y = convolve(rearrange(x, "b h w p q c -> b h w (p q c)"), kernel)
    return rearrange(y, "b h w (p q o) -> b h w p q o", p=2, q=2, o=features)


def _reflect(x: jax.Array, axis: int, cells: int) -> jax.Array:
    """Pads phases by reflection; before the image, phase 0 of cell -i is that of cell i."""
    if not cells:
        return x
    first, last = (
        jax.lax.slice_in_dim(x, 0, cells + 1, axis=axis),
        jax.lax.slice_in_dim(x, x.shape[axis] - cells - 1, None, axis=axis),
    )

    def mirrored(edge, phase, start):
        edge = jax.lax.index_in_dim(edge, phase, axis + 2)
        edge = jax.lax.slice_in_dim(edge, start, start + cells, axis=axis)
        return jnp.flip(edge, axis)

    before = [mirrored(first, 0, 1), mirrored(first, 1, 0)]
    after = [mirrored(last, 0, 1), mirrored(last, 1, 0)]
    before, after = (jnp.concatenate(parts, axis=axis + 2) for parts in (before, after))
    return jnp.concatenate([before, x, after], axis=axis)


def split_phases(x: jax.Array) -> jax.Array:
    """[B, 2 H, 2 W, C] -> phases [B, H, W, 2, 2, C]."""
    return rearrange(x, "b (h p) (w q) c -> b h w p q c", p=2, q=2)


def merge_phases(x: jax.Array) -> jax.Array:
    """Phases [B, H, W, 2, 2, C] -> [B, 2 H, 2 W, C]."""
    return rearrange(x, "b h w p q c -> b (h p) (w q) c")


def mirror(x: jax.Array, pad: int, skip: int) -> jax.Array:
    """Mirrors a border of `pad` pixels; `skip` = 1 leaves the edge itself out, 0 repeats it.

    `jnp.pad` touches the batch's axis too, which then moves between devices.
    """
    for axis in (1, 2):
        inner = x.shape[axis] - skip
        first = jax.lax.slice_in_dim(x, skip, skip + pad, axis=axis)
        last = jax.lax.slice_in_dim(x, inner - pad, inner, axis=axis)
        x = jnp.concatenate([jnp.flip(first, axis), x, jnp.flip(last, axis)], axis)
    return x
