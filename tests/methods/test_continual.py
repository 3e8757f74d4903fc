"""Methods of paper 003: their published sizes, whose parameters a row sees, and what is refused."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import film_voc, matsumoto
from taskfusion_jax import counts
from taskfusion_jax.data.pipeline import check_masks
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.engine import names
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.methods.backbone import build_backbone
from taskfusion_jax.models.resnet_generator import ResNetGenerator
from taskfusion_jax.models.unet import UNet
from tests.fails import fails

ENCODER, DECODER = 9_402_048, 5_373_952  # weights of convolutions, paper 003
BIASES = {
    "encoder": 2 * (64 + 128 + 256 + 512 + 512),
    "decoder": (512 + 256 + 128 + 64) + 2 * (256 + 128 + 64 + 64),
}
TRUNK = ENCODER + DECODER + sum(BIASES.values())
CHANNELS = {"segmentation_1": 81, "segmentation_2": 21, "colourisation": 2}
CHANNELS |= {"style_1": 3, "style_2": 3}
HEADS = {task: (64 + 1) * channels for task, channels in CHANNELS.items()}
AUTOENCODER, BLOCKS, BLOCK_BIASES = 756_739, 7_077_888, 3_072
UNETS = ("scratch", "finetune", "decoder", "piggyback")
SEGMENTATION, COLOUR, STYLE = 1, 3, 4  # slots


@functools.cache
def count(name):
    return counts.count(matsumoto.get_config(name))


def config(name, **changes):
    """A run of matsumoto on networks as small as they can be."""
    made = matsumoto.get_config(f"{name},tiny")
    made.unet.widths, made.resnet.width, made.resnet.blocks = (4, 4), 2, 1
    made.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return made


@functools.cache
def small(name):
    """The method, and parameters that tell all its tasks apart."""
    method = Experiment(config(name)).method
    shapes = names.flatten(jax.eval_shape(method.init, jax.random.key(0)))
    rng = np.random.default_rng(0)
    params = {
        key: jnp.asarray(rng.normal(0, 0.4, x.shape).astype(np.float32))
        for key, x in shapes.items()
    }
    return method, names.unflatten(params)


def vectors(*slots):
    return np.eye(6, dtype=np.float32)[list(slots)] * (np.array(slots) > 0)[:, None]


def images(count):
    return np.random.default_rng(1).random((count, 16, 16, 3), np.float32)


def test_a_network_for_each_task_has_the_papers_size():
    made = count("scratch")
    assert made["per_task"] == {task: TRUNK + head for task, head in HEADS.items()}
    assert made["shared"] == 0 and made["trainable"] == made["total"] == 5 * TRUNK + sum(
        HEADS.values()
    )


def test_fine_tuning_has_one_trunk():
    made = count("finetune")
    assert made["shared"] == TRUNK and made["per_task"] == HEADS
    # To do each as it was learnt, a network each must be kept: the last has forgotten the rest.
    assert made["bytes_per_task"] == {task: 4 * (TRUNK + head) for task, head in HEADS.items()}


def test_decoders_have_the_papers_size():
    made = count("decoder")
    assert made["shared"] == ENCODER + BIASES["encoder"]
    own = {task: DECODER + BIASES["decoder"] + head for task, head in HEADS.items()}
    assert made["per_task"] == own
    own["segmentation_1"] += made["shared"]
    assert made["bytes_per_task"] == {task: 4 * size for task, size in own.items()}


def test_a_piggyback_task_takes_a_bit_per_weight_and_its_head():
    made = count("piggyback")
    assert made["mask_bits_per_task"] == ENCODER + DECODER == 14_776_000
    masks = {task: 4 * TRUNK if task == "segmentation_1" else 1_847_000 for task in HEADS}
    assert made["bytes_per_task"] == {t: masks[t] + 4 * head for t, head in HEADS.items()}
    assert made["bytes"] == 4 * (TRUNK + sum(HEADS.values())) + 4 * 1_847_000
    assert made["trainable"] == made["total"]
    later = list(made["bytes_per_task"].items())[1:]
    for task, size in later:
        assert size < count("decoder")["bytes_per_task"][task] / 10


def test_residual_blocks_have_the_papers_size():
    made = count("resblock")
    assert made["shared"] == AUTOENCODER
    own = dict.fromkeys(HEADS, BLOCKS + BLOCK_BIASES) | {"reconstruction": 0}
    assert made["per_task"] == own
    own["reconstruction"] = AUTOENCODER
    assert made["bytes_per_task"] == {task: 4 * size for task, size in own.items()}


def test_masks_on_residual_blocks_take_a_bit_per_weight():
    made = count("resblock_piggyback")
    assert made["shared"] == made["total"] == AUTOENCODER + BLOCKS + BLOCK_BIASES
    assert made["mask_bits_per_task"] == BLOCKS
    assert made["bytes_per_task"]["style_1"] == BLOCKS / 8 == 884_736
    assert made["bytes_per_task"]["colourisation"] == 4 * (BLOCKS + BLOCK_BIASES)


@pytest.mark.parametrize(
    ("name", "size"),
    [("scratch", 282.0), ("finetune", 282.0), ("decoder", 138.4), ("piggyback", 63.6)],
)
def test_sizes_are_those_of_table_2(name, size):
    """In MiB; the paper's mask files are a little larger than a bit per weight."""
    kept = sum(count(name)["bytes_per_task"].values())
    assert kept / 2**20 == pytest.approx(size, abs=0.15)


@pytest.mark.parametrize("name", ["decoder", "piggyback", "resblock"])
def test_rows_of_a_batch_do_not_mix(name):
    """Tasks in any order give what each row gives alone; what a task lacks in width is zero."""
    method, params = small(name)
    slots = (COLOUR, SEGMENTATION if name in UNETS else STYLE, COLOUR)
    asked, x = vectors(*slots), images(3)
    together = jit(lambda p, x: method.apply(p, x, asked))(params, x)
    assert together.shape == (3, 16, 16, 21 if name in UNETS else 3)
    run = jit(method.run)
    for row, slot in enumerate(slots):
        vector = asked[row]
        alone = run(method.pick(params, vector), x[row : row + 1], vector[None])[0]
        np.testing.assert_allclose(together[row], alone, atol=2e-4)
        width = method.channels[slot]
        assert (together[row, ..., width:] == 0).all()
        assert np.ptp(together[row, ..., :width], axis=(0, 1)).min() > 1e-3
    assert run._cache_size() == 1  # one program for heads of all widths
    assert np.abs(together[1, ..., :2] - together[0, ..., :2]).max() > 1e-2


@pytest.mark.parametrize("name", matsumoto.METHODS)
def test_every_row_meets_its_own_parameters(name, monkeypatch):
    """Whatever network they belong to: here one that adds to an image the sum of them all."""
    method, params = small(name)

    def total(params):
        return sum(jnp.sum(x) for x in jax.tree.leaves(params))

    monkeypatch.setattr(method.backbone, "apply", lambda params, x, c: x + total(params))
    slots = (STYLE, COLOUR, 5, STYLE, COLOUR, STYLE)
    x = images(len(slots))
    made = method.apply(params, x, vectors(*slots))
    sums = {slot: total(method.pick(params, vectors(slot)[0])) for slot in slots}
    assert np.ptp(list(sums.values())) > 0.1
    for row, slot in enumerate(slots):
        np.testing.assert_allclose(made[row], x[row] + sums[slot], rtol=1e-5)


def test_a_head_as_wide_as_the_task_gives_the_same():
    """The U-Net of two channels on the parameters that a task of two channels has."""
    method, params = small("piggyback")
    own = method.network(params, COLOUR)
    x = images(1)
    wide = jit(method.run)(method.pick(params, vectors(COLOUR)[0]), x, vectors(COLOUR))
    narrow = jit(UNet(2, (4, 4)).apply)({"params": own}, x)
    np.testing.assert_allclose(wide[..., :2], narrow, atol=1e-5)


@pytest.mark.parametrize("name", UNETS)
def test_heads_are_filled_up_with_zeros(name):
    method, params = small(name)
    for slot, channels in method.channels.items():
        own = method.network(params, slot)["head"]
        head = method.pick(params, vectors(slot)[0])["head"]
        assert own["kernel"].shape == (1, 1, 4, channels) and own["bias"].shape == (channels,)
        for key, x in head.items():
            assert x.shape[-1] == 21
            np.testing.assert_array_equal(x[..., :channels], own[key])
            assert (x[..., channels:] == 0).all()


@pytest.mark.parametrize("name", matsumoto.METHODS)
def test_a_task_picks_what_is_its_own_and_no_other_tasks(name):
    """And `uses` and `per_task` say so."""
    method, params = small(name)
    flat = names.flatten(params)
    own = [key for key in flat if key.startswith("task_4/")]
    assert own
    for key in own:
        assert [slot for slot in range(6) if method.uses(key, slot)] == [4]
    shared = [key for key in flat if not key.startswith("task_")]
    assert all(method.uses(key, slot) for key in shared for slot in range(6))
    sizes = [method.per_task(flat, 4), method.mask_bits(flat, 4)]
    assert sum(sizes) == sum(flat[key].size for key in own)
    changed = names.unflatten({k: x + 1 if k in own else x for k, x in flat.items()})
    for slot in method.channels:
        before, after = (method.pick(p, vectors(slot)[0]) for p in (params, changed))
        same = jax.tree.map(np.array_equal, before, after)
        assert all(jax.tree.leaves(same)) == (slot != 4)


def _chain(params, *slots):
    """The generator's parameters with the blocks of these tasks, one each, in this order."""
    blocks = {f"block_{i}": params[f"task_{s}"]["blocks"]["block_0"] for i, s in enumerate(slots)}
    return {**params["base"], **({"blocks": blocks} if blocks else {})}


@pytest.mark.parametrize("slots", [(), (STYLE,), (COLOUR, STYLE)])
def test_residual_blocks_of_several_tasks_make_one_chain(slots):
    """In the order of their slots; no task at all is the autoencoder."""
    method, params = small("resblock")
    picked = method.pick(params, vectors(*slots, 0).sum(0))
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, picked, _chain(params, *slots)))
    assert ("blocks" in picked) == bool(slots)


def test_a_chain_runs_as_one_generator():
    method, params = small("resblock")
    vector, x = vectors(COLOUR, STYLE).sum(0), images(1)
    ours = jit(method.run)(method.pick(params, vector), x, vector[None])
    run = jit(ResNetGenerator(width=2, blocks=2).apply)
    expected, turned = (
        run({"params": _chain(params, *slots)}, x) for slots in ((COLOUR, STYLE), (STYLE, COLOUR))
    )
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert np.abs(turned - expected).max() > 1e-2


def test_ten_blocks_and_more_keep_their_order():
    method, _ = small("resblock")
    blocks = {f"block_{i}": {"w": i} for i in range(12)}
    picked = method.pick({"base": {}, "task_1": {"blocks": blocks}}, vectors(1)[0])
    assert [picked["blocks"][f"block_{i}"]["w"] for i in range(12)] == list(range(12))


def test_the_autoencoder_of_masked_blocks_has_none():
    method, params = small("resblock_piggyback")
    picked = method.pick(params, vectors(0)[0])
    assert picked == {k: x for k, x in params["base"].items() if k != "blocks"}
    assert method.pick(params, vectors(COLOUR)[0]).keys() == params["base"].keys()


@pytest.mark.parametrize("name", ["piggyback", "resblock_piggyback"])
def test_masks_keep_or_drop_the_bases_weights(name):
    """Against NumPy: a weight stays where its mask is above the threshold; biases always do."""
    method, params = small(name)
    flat = names.flatten(params)
    picked = names.flatten(method.pick(params, vectors(STYLE)[0]))
    masks = [key for key in flat if key.startswith("task_4/mask/")]
    for key in masks:
        weight = key.removeprefix("task_4/mask/")
        wanted = np.where(flat[key] > np.float32(0.005), flat[f"base/{weight}"], 0)
        np.testing.assert_array_equal(picked.pop(weight), wanted)
    head = [key for key in picked if key.startswith("head/")]
    assert len(masks) > 1 and len(head) == (2 if name == "piggyback" else 0)
    for key in picked.keys() - set(head):
        assert picked[key] is flat[f"base/{key}"]


@pytest.mark.parametrize("name", matsumoto.METHODS)
def test_half_a_task_is_refused(name):
    method, params = small(name)
    fails(lambda: method.pick(params, vectors(STYLE)[0] / 2), "at strength 1", "0.5")
    if name == "resblock":
        fails(lambda: method.pick(params, vectors(COLOUR, STYLE).sum(0) / 2), "at strength 1")
    else:
        fails(lambda: method.pick(params, vectors(COLOUR, STYLE).sum(0)), "one task at strength 1")


def _experiment(name, **changes):
    return lambda: Experiment(config(name, **changes))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            _experiment("scratch", backbone="resnet"),
            ("config.backbone=resnet makes images of 3 channels", "wants 21", "painted_classes"),
        ),
        (
            _experiment("scratch", method="film"),
            ("config.method=film works on transform_net, not on config.backbone=unet",),
        ),
        (
            _experiment("piggyback", method="resblock"),
            ("config.method=resblock works on resnet, not on config.backbone=unet",),
        ),
        (_experiment("scratch", backbone="unte"), ("config.backbone", "unte")),
        (
            _experiment("finetune", stages__style_1__trainable="net/task_3/.*"),
            ("config.stages.style_1.trainable", "trains nothing that style_1 uses", "net/task_3/"),
        ),
        (
            _experiment("resblock", stages__style_1__trainable="critic/.*"),
            ("config.stages.style_1.trainable", "trains nothing that style_1 uses"),
        ),
        (
            _experiment("piggyback", stages__style_1__trainable="net/task_44/.*"),
            ("config.stages.style_1.trainable='net/task_44/.*' matches no parameter",),
        ),
        (
            _experiment("piggyback", piggyback__base=("segmentation",)),
            ("config.piggyback.base: no task 'segmentation'", "did you mean 'segmentation_"),
        ),
        (
            _experiment("piggyback", piggyback__masked="blocks/.*"),
            ("config.piggyback.masked='blocks/.*' matches no parameter",),
        ),
        (
            _experiment("finetune", stages__style_1__start="style_2"),
            ("config.stages.style_1.start: no stage 'style_2' before this one",),
        ),
        (
            _experiment("finetune", stages__style_2__start="colorisation"),
            ("config.stages.style_2.start: no stage", "did you mean 'colourisation'"),
        ),
        (
            _experiment("scratch", data_of__segmentation_1__size=48),
            ("config.data_of.segmentation_1.size=48 must be config.data.size=32",),
        ),
        (
            _experiment("scratch", data__size=35),
            ("config.data.size=35 must be a multiple of 2, such as 34",),
        ),
    ],
)
def test_a_mistake_ends_in_one_line(build, words):
    fails(build, *words)


def test_an_unknown_backbone_is_named():
    made = config("scratch", backbone="unte")
    fails(lambda: build_backbone(made, 3, {}), "config.backbone: no 'unte'", "did you mean 'unet'")


def test_data_of_an_unknown_task_is_refused():
    made = config("scratch")
    made.data_of.segmentation_3 = made.data_of.segmentation_2
    fails(lambda: Experiment(made), "config.data_of: no task 'segmentation_3'", "did you mean")


def test_combined_tasks_have_the_same_data():
    made = film_voc.get_config("tiny")
    made.data_of.segmentation = made.data.copy_and_resolve_references()
    fails(lambda: Experiment(made), "config.tasks.restoration+segmentation", "different data")


def test_replay_of_a_negative_number_is_refused():
    made = config("finetune")
    made.stages.style_1.replay = -1
    fails(lambda: Experiment(made), "config.stages.style_1.replay=-1")


def test_a_tasks_data_follow_the_datas_until_they_are_set():
    made = matsumoto.get_config("scratch")
    made.data.size, made.data.coco.dir = 48, "photographs"
    section = made.data_of.segmentation_2
    assert section.size == 48 and section.coco.dir == "photographs" and section.source == "tfds"
    section.coco.dir = "mine"
    assert made.data.coco.dir == made.data_of.segmentation_1.coco.dir == "photographs"


def test_classes_are_as_many_as_the_datas():
    scenes = Scenes("train", 32, 10, 0, 3)
    tasks = Experiment(config("scratch")).tasks
    task = tasks["segmentation_1"]
    check_masks(scenes, [task])
    other = SimpleNamespace(has_masks=True, classes=81)
    fails(
        lambda: check_masks(other, [task]),
        *("config.tasks.segmentation_1.classes=21", "81 classes", "config.data_of.segmentation_1"),
    )
    check_masks(other, [tasks["colourisation"]])
    blind = SimpleNamespace(has_masks=False, classes=0)
    fails(lambda: check_masks(blind, [task]), "has no masks, which segmentation_1 needs")


@pytest.mark.parametrize(
    ("arg", "message"),
    [
        ("piggyback,style_1>style_1", "task 'style_1' twice in style_1>style_1"),
        ("piggyback,style_1>style_3", "no option 'style_3'.*did you mean 'style_"),
        ("style_1>style_2,style_2>style_1", "two orders of tasks"),
        ("piggyback,decoder", "choose one of decoder, piggyback"),
    ],
)
def test_orders_that_make_no_sense_are_refused(arg, message):
    with pytest.raises(ValueError, match=message):
        matsumoto.get_config(arg)


def test_an_order_is_the_schedule_and_names_the_base():
    order = ("style_1", "colourisation", "segmentation_1")
    made = matsumoto.get_config("piggyback," + ">".join(order))
    assert made.schedule == order and made.piggyback.base == ("style_1",)
    assert made.stages.style_1.trainable == "net/base/.*|net/task_4/.*"
    assert made.stages.colourisation.trainable == "net/task_3/.*"
    assert made.stages.colourisation.rows.to_dict() == {"colourisation": 32}
    made = matsumoto.get_config("resblock," + ">".join(order))
    assert made.schedule == ("reconstruction", *order)
