"""What tasks add to a ViT, against published counts, changed weights and PyTorch's attention."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError
from taskfusion_jax.methods.parts.base import joined
from taskfusion_jax.methods.parts.registry import build_parts
from taskfusion_jax.models.vit import ViT, attention

NET = ViT(width=24, depth=2, heads=3, patch=4, classes=5)
X = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
FRESH_IS_NOTHING = ("rkr", "lora", "adapters", "norm_film", "mask")


def _config(*use, **options):
    config = common.get_config()
    config.parts.use = use
    for name, value in options.items():
        part, _, option = name.partition("__")
        config.parts[part][option] = value
    return config


def _moved(tree, seed=0, scale=0.3):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + scale * rng.normal(size=x.shape).astype(np.float32), tree)


@pytest.fixture(scope="module")
def base():
    params = NET.init(jax.random.key(0), X)["params"]
    return _moved(params, scale=0.05)


def _with(use, base, seed=1, **options):
    """A part of the net, and its own parameters away from where they start."""
    (part,) = build_parts(_config(use, **options), NET).values()
    return part, _moved(part.init(jax.random.key(seed), base), seed)


def _run(part, base, own, net=NET):
    return net.apply({"params": part.weights(base, own)}, X, part.hooks(own))


@pytest.mark.parametrize(
    ("use", "options", "count"),
    [
        ("prefixes", {"prefixes__length": 24}, 442_368),
        ("rkr", {"rkr__rank": 2}, 377_856),
        ("lora", {"lora__rank": 12}, 442_368),
        ("adapters", {"adapters__width": 12}, 461_088),
        ("norm_film", {}, 38_400),
        ("mask", {}, 84_934_656),
        ("prefixes", {}, 423_936),
    ],
)
def test_counts_on_a_vit_b_16(use, options, count):
    """0.52, 0.44, 0.52, 0.54 and 0.045 % of 85,798,656; masks 1 bit of 32 each."""
    vit = ViT.variant("B/16", classes=0)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    base = jax.eval_shape(vit.init, jax.random.key(0), image)["params"]
    (part,) = build_parts(_config(use, **options), vit).values()
    assert names.size(jax.eval_shape(part.init, jax.random.key(0), base)) == count


@pytest.mark.parametrize("use", FRESH_IS_NOTHING)
def test_a_fresh_part_changes_nothing(use, base):
    (part,) = build_parts(_config(use), NET).values()
    own = part.init(jax.random.key(1), base)
    np.testing.assert_array_equal(_run(part, base, own), NET.apply({"params": base}, X))


def test_rkr_is_a_change_of_weights(base):
    """(W + L R) x + b, times the scale: folded into the weights, no hook is needed."""
    part, own = _with("rkr", base)
    folded = NET.apply({"params": _folded(base, own)}, X)
    np.testing.assert_allclose(_run(part, base, own), folded, atol=2e-5)


def test_lora_changes_queries_and_values_alone(base):
    part, own = _with("lora", base, lora__scale=0.5)
    flat = names.flatten(base)
    for i in range(NET.depth):
        block, kernel = own[f"block_{i}"], np.array(flat[f"block_{i}/qkv/kernel"])
        for place, name in ((0, "q"), (2, "v")):
            columns = slice(24 * place, 24 * (place + 1))
            kernel[:, columns] += 0.5 * np.asarray(block[name]["down"] @ block[name]["up"])
        flat[f"block_{i}/qkv/kernel"] = kernel
    folded = NET.apply({"params": names.unflatten(flat)}, X)
    np.testing.assert_allclose(_run(part, base, own), folded, atol=2e-5)


def test_norm_film_scales_and_shifts_what_a_norm_makes(base):
    part, own = _with("norm_film", base)
    assert len(names.flatten(own)) == 2 * (2 * NET.depth + 1)
    made = part.weights(base, own)
    x = np.random.default_rng(1).normal(size=24).astype(np.float32)
    for place in (("norm",), ("block_1", "norm_2")):
        norm, film, new = base, own, made
        for name in place:
            norm, film, new = norm[name], film[name], new[name]
        plain = x * norm["scale"] + norm["bias"]
        wanted = (1 + film["scale"]) * plain + film["bias"]
        np.testing.assert_allclose(x * new["scale"] + new["bias"], wanted, atol=1e-5)


def test_masks_put_weights_to_zero(base):
    part, own = _with("mask", base)
    masked = names.flatten(part.weights(base, own))
    for name, values in names.flatten(own).items():
        assert re.fullmatch("block_.*/kernel", name)
        wanted = np.where(np.asarray(values) > 0.005, names.flatten(base)[name], 0)
        np.testing.assert_array_equal(masked[name], wanted)


def test_prefixes_are_keys_and_values_that_all_tokens_see():
    """Against PyTorch's attention over the longer row of keys and values."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 3, 5, 8)).astype(np.float32)
    keys, values = rng.normal(size=(2, 4, 3, 8)).astype(np.float32)

    def longer(own, more):
        return np.concatenate([np.broadcast_to(more.swapaxes(0, 1), (2, 3, 4, 8)), own], axis=2)

    theirs = torch.nn.functional.scaled_dot_product_attention(
        *(torch.from_numpy(x.copy()) for x in (q, longer(k, keys), longer(v, values)))
    )
    from taskfusion_jax.models.vit import _more

    ours = attention(jnp.asarray(q), _more(jnp.asarray(k), keys), _more(jnp.asarray(v), values))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_deep_prompts_are_prefixes_made_by_the_block_itself(base):
    """A prompt that leaves behind the block acts by its key and its value only."""
    part, own = _with("deep_prompts", base, deep_prompts__length=4)
    hooks = {}
    for i in range(NET.depth):
        block, tokens = base[f"block_{i}"], own[f"block_{i}"]["tokens"]
        centred = tokens - tokens.mean(axis=1, keepdims=True)
        normed = centred / np.sqrt(tokens.var(axis=1, keepdims=True) + 1e-6)
        normed = normed * block["norm_1"]["scale"][None] + block["norm_1"]["bias"][None]
        qkv = normed @ block["qkv"]["kernel"] + block["qkv"]["bias"][None]
        _, keys, values = np.split(np.asarray(qkv), 3, axis=1)
        hooks[f"block_{i}"] = {"keys": keys.reshape(4, 3, 8), "values": values.reshape(4, 3, 8)}
    as_prefixes = NET.apply({"params": base}, X, hooks)
    np.testing.assert_allclose(_run(part, base, own), as_prefixes, atol=2e-5)


def test_shallow_prompts_stay_to_the_end(base):
    """Reading them gives as many tokens as there are prompts; reading the class token sees them."""
    part, own = _with("prompts", base, prompts__length=2)
    plain = NET.apply({"params": base}, X)
    assert not np.allclose(_run(part, base, own), plain, atol=1e-3)
    read = NET.clone(read_prompts=True)
    assert not np.allclose(_run(part, base, own, read), _run(part, base, own), atol=1e-3)


def test_adapters_add_a_small_network(base):
    part, own = _with("adapters", base, adapters__width=2)
    y = np.random.default_rng(3).normal(size=(1, 2, 24)).astype(np.float32)
    from taskfusion_jax.models.vit import adapted

    one = own["block_0"]["adapter_1"]
    hidden = y @ one["down"]["kernel"] + one["down"]["bias"][None, None]
    tanh = np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3))
    gelu = 0.5 * hidden * (1 + tanh)
    wanted = y + gelu @ one["up"]["kernel"] + one["up"]["bias"][None, None]
    np.testing.assert_allclose(adapted(y, one), wanted, atol=1e-5)
    assert not np.allclose(_run(part, base, own), NET.apply({"params": base}, X), atol=1e-3)


def _folded(base, own):
    """RKR as a change of weights: (W + L R) and b, times the scale."""
    flat, own = names.flatten(base), names.flatten(own)
    for layer in {name.rpartition("/")[0] for name in own}:
        grown = 1 + own[f"{layer}/scale"]
        change = own[f"{layer}/down"] @ own[f"{layer}/up"]
        flat[f"{layer}/kernel"] = (flat[f"{layer}/kernel"] + change) * grown[None]
        flat[f"{layer}/bias"] = flat[f"{layer}/bias"] * grown
    return names.unflatten(flat)


@pytest.mark.parametrize("use", ["mask", "norm_film"])
def test_a_part_on_weights_beside_rkr(use, base):
    """Both act: RKR on what the other has made of the weights."""
    one, mine = _with(use, base)
    rkr, other = _with("rkr", base, seed=2)
    changed = one.weights(base, mine)
    both = NET.apply({"params": changed}, X, joined(one.hooks(mine), rkr.hooks(other)))
    wanted = NET.apply({"params": _folded(changed, other)}, X)
    np.testing.assert_allclose(both, wanted, atol=2e-5)


def test_lora_beside_rkr(base):
    """W + L R + A B, where A B changes queries and values, times the scale."""
    lora, mine = _with("lora", base)
    rkr, other = _with("rkr", base, seed=2)
    hooks = joined(lora.hooks(mine), rkr.hooks(other))
    flat = names.flatten(base)
    for block, hook in lora.hooks(mine).items():
        flat[f"{block}/qkv/kernel"] = (
            flat[f"{block}/qkv/kernel"] + hook["qkv"]["down"] @ hook["qkv"]["up"]
        )
    wanted = NET.apply({"params": _folded(names.unflatten(flat), other)}, X)
    np.testing.assert_allclose(NET.apply({"params": base}, X, hooks), wanted, atol=3e-5)


def test_prompts_and_prefixes_beside_adapters(base):
    """Hooks of other names stand beside each other as they are; of one name one after the other."""
    prompts, mine = _with("prompts", base, prompts__length=2)
    adapters, other = _with("adapters", base, seed=2)
    both = joined(prompts.hooks(mine), adapters.hooks(other))
    assert both == {"tokens": mine["tokens"], **other}
    twice = joined(prompts.hooks(mine), {"tokens": mine["tokens"] + 1})["tokens"]
    np.testing.assert_array_equal(twice, np.concatenate([mine["tokens"], mine["tokens"] + 1]))
    with pytest.raises(UserError, match="two parts bring adapters"):
        joined(adapters.hooks(other), adapters.hooks(other))


@pytest.mark.parametrize(
    ("use", "options", "says"),
    [
        (("prefix",), {}, "config.parts.use: no part 'prefix' (did you mean 'prefixes'?)"),
        (("rkr", "rkr"), {}, "names a part twice"),
        (("rkr",), {"rkr__rank": 0}, "config.parts.rkr.rank=0 must be at least 1"),
        (("rkr",), {"rkr__layers": ("fc3",)}, "config.parts.rkr.layers: no layer 'fc3'"),
    ],
)
def test_what_makes_no_sense_is_refused(use, options, says):
    with pytest.raises(UserError, match=re.escape(says)):
        build_parts(_config(*use, **options), NET)
