"""What is read out of a compiled program's text."""

import jax
import jax.numpy as jnp
import pytest

from taskfusion_jax.engine.program import collectives, compile_program, human_bytes

HLO = """
  %all-gather.3 = f32[8,16]{1,0} all-gather(%param.4), channel_id=1, replica_groups={{0,2},{1,3}}
  %all-reduce.6 = (f32[4,16]{1,0}, f32[], bf16[3]{0}) all-reduce(%a, %b, %c), channel_id=2
  %get-tuple-element.5 = f32[4,16]{1,0} get-tuple-element(%all-reduce.6), index=0
  %rs = f8e4m3fn[10]{0} reduce-scatter(%dot.10), replica_groups=[4,2]<=[8], dimensions={0}
  %s = (f32[4]{0}, f32[8]{0}) all-gather-start(%p), dimensions={0}
  %d = f32[8]{0} all-gather-done(%s)
  %m = pred[5]{0} all-to-all(%q)
"""


def test_bytes_of_collectives():
    assert collectives(HLO) == {
        "all-gather": 4 * 8 * 16 + 4 * 8,
        "all-reduce": 4 * 64 + 4 + 2 * 3,
        "reduce-scatter": 10,
        "all-to-all": 5,
    }


def test_a_program_says_what_it_needs():
    program = compile_program(jax.jit(lambda x: x @ x), jnp.ones((64, 64)))
    assert program.run(jnp.ones((64, 64)))[0, 0] == 64
    assert program.collectives == {}
    assert program.peak_bytes >= 2 * 4 * 64 * 64
    assert "devices exchange nothing per step" in str(program)
    with pytest.raises(TypeError, match="Argument types differ"):
        program.run(jnp.ones((32, 32)))


def test_human_bytes():
    assert [human_bytes(n) for n in (5, 1536, 3 << 20, 5 << 30)] == [
        "5 B", "1.5 KiB", "3 MiB", "5 GiB",
    ]  # fmt: skip
