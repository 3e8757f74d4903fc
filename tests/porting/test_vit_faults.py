"""Files that are no ViT's weights, or another's: one line says what is wrong and the way out."""

import numpy as np
import pytest

from taskfusion_jax.models.vit import ViT
from taskfusion_jax.porting.vit import load_vit
from tests.fails import fails

pytest.importorskip("torch")

from tests.porting.vits import NET, SIZE, arrays_of, flax, hugging_face, save, timm


def test_all_faults_are_named_in_one_line(tmp_path):
    arrays = arrays_of(timm())
    del arrays["cls_token"], arrays["blocks.1.norm2.bias"]
    arrays["blocks.0.ls1.gamma"] = np.ones(24, np.float32)
    arrays["blocks.0.attn.proj.weight"] = np.ones((24, 8), np.float32)
    path = save(arrays, tmp_path / "vit.safetensors")
    fails(
        lambda: load_vit(path, NET, SIZE),
        f"{path}: not the weights of config.vit: extra blocks.0.ls1.gamma; missing",
        "missing cls_token",
        "missing blocks.1.norm2.bias",
        "blocks.0.attn.proj.weight has (24, 8), not (24, 24)",
    )


def test_another_network_is_described(tmp_path):
    path = save(flax()[1], tmp_path / "vit.npz")
    net = ViT(width=32, depth=6, heads=4, patch=4, classes=5)
    fails(
        lambda: load_vit(path, net, SIZE),
        "it has 2 blocks of width 24 on patches of 4, config.vit wants 6 of 32 on patches of 4: ",
        *(f"missing Transformer/encoderblock_{i}/LayerNorm_0/bias" for i in (2, 3, 4, 5)),
        *("embedding/kernel has (4, 4, 3, 24), not (4, 4, 3, 32)", "head/kernel has (24, 5)"),
    )
    deep = NET.clone(depth=1)
    fails(lambda: load_vit(path, deep, SIZE), "2 blocks of width 24", "wants 1 of 24", "extra")


def test_other_heads_of_attention_are_seen_where_the_file_tells(tmp_path):
    path = save(flax()[1], tmp_path / "vit.npz")
    fails(lambda: load_vit(path, NET.clone(heads=4), SIZE), "has (24, 3, 8), not (24, 4, 6)")


def test_another_number_of_classes(tmp_path):
    path = save(arrays_of(timm()), tmp_path / "vit.safetensors")
    fails(
        lambda: load_vit(path, NET.clone(classes=7), SIZE),
        "its head has 5 classes, config.vit wants 7 (0 passes over it)",
        "head.weight has (5, 24), not (7, 24)",
    )


def test_no_head(tmp_path):
    path = save(arrays_of(hugging_face().vit), tmp_path / "model.safetensors")
    fails(
        lambda: load_vit(path, NET, SIZE),
        "it has no head, config.vit wants 5 classes (0 wants none)",
        "missing classifier.weight",
    )


@pytest.mark.parametrize("patches", [0, 6, 10])
def test_positions_that_are_no_square_grid(patches, tmp_path):
    arrays = arrays_of(timm()) | {"pos_embed": np.ones((1, 1 + patches, 24), np.float32)}
    path = save(arrays, tmp_path / "vit.safetensors")
    fails(
        lambda: load_vit(path, NET, SIZE),
        f"{path}: pos_embed has {1 + patches} positions, which are not",
        "square images",
    )


def test_an_unknown_layout(tmp_path):
    arrays = {f"encoder.layer.0.{name}": np.ones(2, np.float32) for name in "abcd"}
    path = save(arrays, tmp_path / "bert.safetensors")
    fails(
        lambda: load_vit(path, NET, SIZE),
        path,
        "it holds encoder.layer.0.a, encoder.layer.0.b, encoder.layer.0.c;",
        "one of embedding/kernel, patch_embed.proj.weight, vit.embeddings.patch_embeddings.",
        "base/patch/embedding/kernel",
    )
    path = save({}, tmp_path / "empty.safetensors")
    fails(lambda: load_vit(path, NET, SIZE), "it holds nothing")


def test_sides_that_are_no_multiples_of_the_patch(tmp_path):
    path = save(arrays_of(timm()), tmp_path / "vit.safetensors")
    fails(lambda: load_vit(path, NET, 14), "multiples of 4, got 14x14")


@pytest.mark.parametrize("name", ["", "none.npz", "none/tasks/shared.safetensors", "vit.h5"])
def test_without_weights_the_ways_are_told(name, tmp_path):
    """The first is a folder that is no run's."""
    (tmp_path / "vit.h5").touch()
    fails(lambda: load_vit(tmp_path / name, NET, SIZE), tmp_path, "*.npz", "timm", "Hugging Face")
