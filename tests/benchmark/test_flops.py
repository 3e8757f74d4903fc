"""The FLOP counter against closed forms and XLA's own count; the definition against PyTorch's."""

import jax
import jax.numpy as jnp
import pytest

from configs import common
from taskfusion_jax.benchmark import flops
from taskfusion_jax.benchmark.film import transform_net_flops
from taskfusion_jax.methods.backbone import without


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def by_xla(fun, *args):
    return jax.jit(fun).lower(*args).compile().cost_analysis()["flops"]


def conv(stride=1, padding="SAME", dilation=(1, 1), groups=1):
    def fun(x, k):
        return jax.lax.conv_general_dilated(
            x,
            k,
            (stride, stride),
            padding,
            rhs_dilation=dilation,
            feature_group_count=groups,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    return fun


def test_a_product():
    assert flops.count(jnp.matmul, shape(3, 5, 7), shape(3, 7, 11)) == 2 * 3 * 5 * 7 * 11
    assert flops.count(jnp.vdot, shape(9), shape(9)) == 2 * 9


def test_a_valid_convolution():
    count = flops.count(conv(2, "VALID"), shape(4, 11, 9, 3), shape(3, 3, 3, 8))
    assert count == 2 * 4 * 5 * 4 * 9 * 3 * 8


def test_padding_costs_nothing():
    """On 3x3 pixels a 3x3 kernel meets 4 pixels in corners, 6 at edges, 9 in the middle."""
    count = flops.count(conv(), shape(1, 3, 3, 1), shape(3, 3, 1, 1))
    assert count == 2 * (4 * 4 + 4 * 6 + 9)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": "VALID"},
        {"stride": 2},
        {"dilation": (2, 2)},
        {"groups": 2},
    ],
)
def test_convolutions_and_their_gradients_equal_xlas_count(options):
    """XLA counts element-wise work too, of which a bare convolution has none."""
    fun, x, k = conv(**options), shape(2, 12, 10, 4), shape(3, 3, 4 // options.get("groups", 1), 6)
    assert flops.count(fun, x, k) == by_xla(fun, x, k)

    def gradient_to_x(x, k, out):
        return jax.vjp(lambda x: fun(x, k), x)[1](out)

    def gradient_to_k(x, k, out):
        return jax.vjp(lambda k: fun(x, k), k)[1](out)

    out = jax.eval_shape(fun, x, k)
    for gradient in (gradient_to_x, gradient_to_k):  # XLA drops the forward pass, unused here
        counted = flops.count(gradient, x, k, out) - flops.count(fun, x, k)
        assert counted == by_xla(gradient, x, k, out)


def test_what_is_within():
    a = shape(4, 4)

    def product(x, _=None):
        return x @ x, None

    def scanned(x):
        return jax.lax.scan(product, x, None, length=5)[0]

    custom = jax.custom_jvp(lambda x: x @ x)
    custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0]))
    pulled = jax.custom_vjp(lambda x: x @ x)
    pulled.defvjp(lambda x: (pulled(x), None), lambda _, g: (g,))
    branches = (lambda x: x, lambda x: x @ x @ x)
    for fun, products in (
        (jax.jit(lambda x: x @ x), 1),
        (scanned, 5),
        (custom, 1),
        (pulled, 1),
        (jax.checkpoint(lambda x: x @ x), 1),
        (lambda x: jax.lax.cond(x[0, 0] > 0, *branches, x), 2),
        (lambda x: jax.vmap(lambda row: x @ row)(x), 1),
    ):
        assert flops.count(fun, a) == products * 2 * 4**3


def test_every_device_counts():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.P("data")
    mapped = jax.shard_map(lambda x: x @ x.T, mesh=mesh, in_specs=spec, out_specs=spec)
    assert flops.count(mapped, shape(4, 4)) == 2 * 4**3


def test_loops_of_unknown_length_are_refused():
    def run(x):
        return jax.lax.while_loop(lambda x: x[0, 0] > 0, lambda x: x @ x, x)

    with pytest.raises(ValueError, match="number of rounds"):
        flops.count(run, shape(4, 4))


@pytest.mark.parametrize("options", [{}, {"input_gate": True, "pixel_gate": True, "skips": True}])
def test_transform_net_as_pytorch_counts_it(options):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from taskfusion_jax.benchmark.twins.transform_net import TransformNet

    network = common.get_config().network
    network.update({"width": 8, "blocks": 2, **options})
    net = TransformNet(6, torch.float32, **without(network.to_dict(), "weights"))
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(2, 3, 20, 28), torch.zeros(2, 6))
    counts = counter.get_flop_counts()["Global"]
    convolutions = {str(op): n for op, n in counts.items() if "convolution" in str(op)}
    assert sum(convolutions.values()) == transform_net_flops(network, (2, 20, 28, 3))
