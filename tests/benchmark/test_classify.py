"""U-Net's and ViT's works against their twins, and their FLOPs against PyTorch's count."""

import pytest

from configs import bench_unet, bench_vit
from taskfusion_jax.benchmark.agreement import check
from taskfusion_jax.benchmark.classify import vit_flops
from taskfusion_jax.benchmark.workloads import build_workload
from taskfusion_jax.models.vit import ViT
from tests.fails import fails

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from taskfusion_jax.benchmark.twins.program import TorchProgram  # noqa: E402
from taskfusion_jax.benchmark.twins.weights import gradients_to_torch  # noqa: E402

CONFIGS = {"unet": bench_unet, "vit": bench_vit}


def works(name, batch=2, **changes):
    config = CONFIGS[name].get_config("tiny")
    config.update(changes)
    return build_workload(config, batch, None).works()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("work", "dtype"), [("forward", "bfloat16"), ("train_step", "float32")])
def test_equals_its_twin(name, work, dtype):
    made = works(name, dtype=dtype)[work]()
    ours, twin = made.program().result, made.twin()
    expected = gradients_to_torch(twin.module, ours)
    for layout in twin.layouts:
        check(expected, TorchProgram(twin, "eager", layout).result, dtype, name)


@pytest.mark.parametrize("name", CONFIGS)
def test_definition_as_pytorch_counts_it(name):
    """PyTorch counts attention only where it is not fused away, as on a meta device."""
    work = works(name, batch=3)["forward"]()
    twin = work.twin()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        twin.module.to("meta")(*(tensor.to("meta") for tensor in twin.inputs))
    assert counter.get_total_flops() == work.flops


@pytest.mark.parametrize(("arg", "gmac"), [("s16", 4.6), ("b16", 17.6)])
def test_vits_as_published(arg, gmac):
    """GMAC per image, as the literature gives them for 224x224 pixels."""
    variant = bench_vit.get_config(arg).network.variant
    per_image = vit_flops(ViT.variant(variant), (1, 224, 224, 3)) / 2
    assert per_image == pytest.approx(gmac * 1e9, rel=0.02)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_refused(name):
    config = CONFIGS[name].get_config("tiny")
    fails(lambda: build_workload(config, 1, "single"), "--stage=single", "has no stages")
    config.dtype = "float23"
    fails(lambda: build_workload(config, 1, None), "config.dtype: no 'float23'")
