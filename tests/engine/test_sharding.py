"""Which axis divides which parameter, and what is refused."""

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine.sharding import parameter_specs
from taskfusion_jax.errors import UserError

MESH = AbstractMesh((2, 4, 2), meshes.AXES)
SHAPES = {
    "net/down/conv/kernel": jax.ShapeDtypeStruct((3, 3, 16, 32), np.float32),
    "net/square/kernel": jax.ShapeDtypeStruct((8, 8), np.float32),
    "net/odd/kernel": jax.ShapeDtypeStruct((9, 3), np.float32),
    "net/down/conv/bias": jax.ShapeDtypeStruct((32,), np.float32),
}


def specs(*rules):
    return parameter_specs(MESH, rules, SHAPES, "config.sharding")


def test_one_axis_divides_the_largest_dimension_that_it_can():
    found = specs((".*/kernel", "fsdp"))
    assert found["net/down/conv/kernel"] == PartitionSpec(None, None, None, "fsdp")
    assert found["net/square/kernel"] == PartitionSpec(None, "fsdp")
    assert found["net/odd/kernel"] == PartitionSpec()
    assert found["net/down/conv/bias"] == PartitionSpec()


def test_the_first_rule_counts_and_dimensions_may_be_named():
    found = specs(("net/square/.*", ("model", "")), (".*", "fsdp"))
    assert found["net/square/kernel"] == PartitionSpec("model", None)
    assert found["net/down/conv/bias"] == PartitionSpec("fsdp")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((("(", "fsdp"),), "must be rules such as"),
        ((("a", "b", "c"),), "must be rules such as"),
        (((".*", "rows"),), "no mesh axis 'rows'; there are data, fsdp, model"),
        (((".*/bias", ("", "fsdp")),), r"has 1 dimensions \(32,\), the rule names 2"),
        ((("net/odd/.*", ("fsdp", "")),), r"\(9, 3\): fsdp=4 does not divide 9"),
    ],
)
def test_rules_that_make_no_sense(rules, message):
    with pytest.raises(UserError, match=message):
        specs(*rules)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((3, 1, 1), "does not divide 1 devices"),
        ((-1, -1, 1), "only once"),
        ((0, 1, 1), "sizes are 1 or more"),
    ],
)
def test_meshes_that_make_no_sense(sizes, message):
    with pytest.raises(UserError, match=message):
        meshes.make_mesh(dict(zip(meshes.AXES, sizes, strict=True)), jax.devices()[:1])


def test_minus_one_is_the_rest():
    mesh = meshes.make_mesh({"data": -1, "fsdp": 1, "model": 1}, jax.devices()[:1])
    assert dict(mesh.shape) == {"data": 1, "fsdp": 1, "model": 1}
    assert meshes.groups_for(mesh, 0, 3) == 3
    with pytest.raises(UserError, match=r"1 devices x config.accumulate=2; use a multiple of 2"):
        meshes.groups_for(mesh, 3, 2)
