"""The objective on mixed batches against a naive loop over tasks and rows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.models.patch_gan import PatchGAN
from taskfusion_jax.models.vgg16 import VGG16
from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.tasks.objective import Objective, layout
from taskfusion_jax.tasks.reconstruction import Reconstruction
from taskfusion_jax.tasks.restoration import Restoration
from taskfusion_jax.tasks.segmentation import Segmentation
from taskfusion_jax.tasks.style import Style

SLOTS, SIZE, GRAY = 4, 16, (0.5, 0.5, 0.5)
CRITIC, VGG = PatchGAN(width=2, layers=1), VGG16(("relu1_2", "relu2_2"))
SINGLE = {
    "same": Reconstruction("same", (), SLOTS, {"l2": 10.0}),
    "mend": Restoration("mend", (1,), SLOTS, {"l2": 3.0, "smooth": 0.2}, (0, 0), (0, 0), (0, 0)),
    "cut": Segmentation("cut", (2,), SLOTS, {"l2": 2.0, "adversarial": 0.5}, GRAY),
    "paint": Style("paint", (3,), SLOTS, {"content": 0.7, "style": 5.0}, "embedded:swirl", 32),
}


def _combined(loss, *names, by):
    parts = tuple(SINGLE[name] for name in names)
    active = tuple(slot for part in parts for slot in part.active)
    return Combined("+".join(names), active, SLOTS, loss, parts, by)


PAINTED_CUT = _combined({"l2": 4.0, "adversarial": 0.3}, "cut", "paint", by="mask")
PAINTED_MEND = _combined({"l2": 6.0}, "mend", "paint", by="sequential")
TASKS = {**SINGLE, "mend+paint": PAINTED_MEND, "cut+paint": PAINTED_CUT}
ROWS = {"same": 1, "mend": 2, "cut": 2, "paint": 1, "mend+paint": 1, "cut+paint": 2}
IMAGES = ("input", "clean", "mask")
OWNERS = [name for name in TASKS for _ in range(ROWS[name])]


def apply(params, x, c):
    """A network of one layer: each task vector bends the colours in its own way."""
    return jnp.tanh(x @ params["mix"] + (c @ params["shift"])[:, None, None])


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)

    def net():
        mix, shift = rng.normal(0, 0.6, (3, 3)), rng.normal(0, 0.6, (SLOTS, 3))
        return {"mix": mix.astype(np.float32), "shift": shift.astype(np.float32)}

    image, c = jnp.zeros((1, SIZE, SIZE, 3)), jnp.zeros((1, SLOTS))
    critic = jit(CRITIC.init)(jax.random.key(0), image, c)["params"]
    return {"net": net(), "critic": critic}, net()


@pytest.fixture(scope="module")
def constants():
    vgg = jit(VGG.init)(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))["params"]
    painting = np.random.default_rng(1).random((1, SIZE, SIZE, 3), np.float32)
    grams = {layer: _gram(x) for layer, x in _vgg(vgg, painting).items()}
    return {"vgg": vgg, "grams": {"paint": grams}}


@pytest.fixture(scope="module")
def batch():
    """Two groups of nine rows; every row of masks has the same number of void pixels."""
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (2, 2, len(OWNERS), SIZE, SIZE, 3), np.uint8)
    mask = rng.integers(0, 2, (2, len(OWNERS), SIZE, SIZE), np.uint8)
    mask[:, :, :3] = 255
    label = np.zeros((2, len(OWNERS), 2), np.int32)
    share = np.ones((2, len(OWNERS)), np.float32)
    arrays = {"input": images[0], "clean": images[1], "mask": mask}
    return {**arrays, "label": label, "share": share}


def _objective(combine, rows=ROWS):
    return Objective(apply, CRITIC, VGG, layout(rows, TASKS, combine))


def _assert_close(a, b):
    """Equal trees but for rounding, as each comes from a program of its own."""
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-6), a, b)


def _vgg(weights, images):
    return jit(VGG.apply)({"params": weights}, images)


def _gram(x):
    flat = np.asarray(x).reshape(len(x), -1, x.shape[-1])
    return np.einsum("bni,bnj->bij", flat, flat) / x[0].size


def _naive_target(task, clean, mask, teacher):
    """The target of one task by its definition in the paper; cutting comes last."""
    names = task.name.split("+")
    if "paint" in names:
        clean = apply(teacher, clean, jnp.tile(SINGLE["paint"].vector[None], (len(clean), 1)))
    if "cut" in names:
        clean = np.where(mask[..., None] == 0, np.float32(0.5), clean)
    return np.asarray(clean)


def _naive_terms(task, output, seen, target, clean, mask, params, constants):
    """Every term of one task on its rows, in NumPy."""
    error = (output - target) ** 2
    valid = mask != 255 if "cut" in task.name else np.ones(mask.shape, bool)
    c = np.tile(task.vector[None], (len(output), 1))
    values = {"l2": error[valid].mean()}
    values["smooth"] = np.mean(np.diff(output, axis=1) ** 2)
    values["smooth"] += np.mean(np.diff(output, axis=2) ** 2)
    verdict = CRITIC.apply({"params": params["critic"]}, seen, c)
    values["adversarial"] = np.mean((verdict - 1) ** 2)
    made, wanted = _vgg(constants["vgg"], output), _vgg(constants["vgg"], clean)
    values["content"] = np.mean((made["relu2_2"] - wanted["relu2_2"]) ** 2)
    grams = constants["grams"]["paint"]
    values["style"] = sum(
        np.mean(np.sum((_gram(made[layer]) - grams[layer]) ** 2, (1, 2))) for layer in made
    )
    return {term: values[term] for term in task.loss}


def _naive(params, teacher, constants, batch, combine):
    """Loss and metrics by one pass of the network per task, over its own rows only."""
    metrics, loss, fakes, reals, vectors = {}, 0.0, [], [], []
    for name, task in TASKS.items():
        mine = np.array([owner == name for owner in OWNERS])
        x, clean, mask = (batch[k][:, mine].reshape(-1, *batch[k].shape[2:]) for k in IMAGES)
        x, clean = np.float32(x / 255), np.float32(clean / 255)
        c = np.tile(task.vector[None], (len(x), 1))
        output = np.asarray(apply(params["net"], x, c))
        parts = task.parts if combine == "M2" and isinstance(task, Combined) else [task]
        for part in parts:
            prefix = name if part is task else f"{name}:{part.name}"
            target = _naive_target(part, clean, mask, teacher)
            void = mask[..., None] == 255 if part.needs_mask else False
            seen = np.where(void, target, output)  # the critic sees no void
            terms = _naive_terms(part, output, seen, target, clean, mask, params, constants)
            metrics |= {f"{prefix}/{term}": value for term, value in terms.items()}
            loss += sum(part.loss[term] * value for term, value in terms.items())
            if "adversarial" in part.loss:
                fakes.append(seen)
                reals.append(target)
                vectors.append(np.tile(part.vector[None], (len(x), 1)))
    fake, real, c = (np.concatenate(x) for x in (fakes, reals, vectors))
    on_real, on_fake = (CRITIC.apply({"params": params["critic"]}, x, c) for x in (real, fake))
    metrics["critic/loss"] = np.mean((on_real - 1) ** 2) + np.mean(on_fake**2)
    return {**metrics, "loss": loss + metrics["critic/loss"]}


@pytest.mark.parametrize("combine", ["M2", "M3"])
def test_equals_a_naive_loop_over_tasks(params, constants, batch, combine):
    params, teacher = params
    loss, metrics = jit(_objective(combine))(params, teacher, constants, batch)
    expected = _naive(params, teacher, constants, batch, combine)
    assert set(metrics) == set(expected)
    assert loss == metrics["loss"] and "same/l2" in metrics
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=2e-4, err_msg=name)


def test_m2_adds_the_losses_of_the_parts(params, constants, batch):
    """The rows of a combined task alone: its loss is that of each part on the same outputs."""
    one_row = {k: v[:, :1] for k, v in batch.items()}
    params, teacher = params
    both, metrics = jit(_objective("M2", {"cut+paint": 1}))(params, teacher, constants, one_row)
    names = {"cut+paint:cut/l2", "cut+paint:cut/adversarial"}
    names |= {"cut+paint:paint/content", "cut+paint:paint/style", "critic/loss", "loss"}
    assert set(metrics) == names
    parts = 2.0 * metrics["cut+paint:cut/l2"] + 0.5 * metrics["cut+paint:cut/adversarial"]
    parts += 0.7 * metrics["cut+paint:paint/content"] + 5.0 * metrics["cut+paint:paint/style"]
    np.testing.assert_allclose(both, parts + metrics["critic/loss"], rtol=1e-5)


def test_network_and_critic_each_follow_their_own_loss(params, constants, batch):
    params, teacher = params
    objective = _objective("M3")
    gradient = jit(jax.grad(objective, has_aux=True))(params, teacher, constants, batch)[0]

    def total(net, critic):
        return objective({"net": net, "critic": critic}, teacher, constants, batch)

    def loss_of_net(net):
        """The critic's loss does not move with the images, which are constants to it."""
        loss, metrics = total(net, params["critic"])
        return loss - metrics["critic/loss"]

    def loss_of_critic(critic):
        return total(params["net"], critic)[1]["critic/loss"]

    _assert_close(gradient["net"], jit(jax.grad(loss_of_net))(params["net"]))
    _assert_close(gradient["critic"], jit(jax.grad(loss_of_critic))(params["critic"]))


def _only_adversarial():
    task = dataclasses.replace(SINGLE["cut"], loss={"adversarial": 1.0})
    return Objective(apply, CRITIC, VGG, layout({"cut": 2}, {"cut": task}, "M1"))


def test_adversarial_gradients_equal_hand_written_ones(params, batch):
    """LSGAN written out, each player against the other held constant."""
    (params, teacher), batch = params, {k: v[:1, :2] for k, v in batch.items()}
    gradient = jax.grad(_only_adversarial(), has_aux=True)(params, teacher, {}, batch)[0]
    x, clean, mask = (batch[k][0] for k in IMAGES)
    x, clean = np.float32(x / 255), np.float32(clean / 255)
    c = np.tile(SINGLE["cut"].vector[None], (2, 1))
    real = np.where(mask[..., None] == 0, np.float32(0.5), clean)

    def made(net):
        return jnp.where(mask[..., None] == 255, real, apply(net, x, c))

    fake = made(params["net"])

    def fool(net):
        return jnp.mean((CRITIC.apply({"params": params["critic"]}, made(net), c) - 1) ** 2)

    def tell_apart(critic):
        on_real, on_fake = (CRITIC.apply({"params": critic}, y, c) for y in (real, fake))
        return jnp.mean((on_real - 1) ** 2) + jnp.mean(on_fake**2)

    expected = {
        "net": jax.grad(fool)(params["net"]),
        "critic": jax.grad(tell_apart)(params["critic"]),
    }
    _assert_close(gradient, expected)


def test_the_teacher_is_a_constant(params, constants, batch):
    """No gradient reaches it, and as its own teacher the network sees a constant target."""
    params, teacher = params
    objective = _objective("M3", {"mend+paint": 4, "cut+paint": 5})
    to_teacher = jit(jax.grad(lambda t: objective(params, t, constants, batch)[0]))(teacher)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(to_teacher))
    copy = jax.tree.map(jnp.copy, params["net"])

    def loss(net, teacher):
        return objective({**params, "net": net}, teacher, constants, batch)[0]

    shared, apart = jax.grad(lambda net: loss(net, net)), jax.grad(lambda net: loss(net, copy))
    _assert_close(jit(shared)(params["net"]), jit(apart)(params["net"]))


def test_two_groups_are_the_mean_of_each(params, constants, batch):
    """Every term is a mean over rows (and over pixels that are not void, as many in each row)."""
    params, teacher = params
    objective = jit(_objective("M3"))
    both = objective(params, teacher, constants, batch)[1]
    halves = [{k: v[g : g + 1] for k, v in batch.items()} for g in (0, 1)]
    each = [objective(params, teacher, constants, half)[1] for half in halves]
    for name, value in both.items():
        mean = (each[0][name] + each[1][name]) / 2
        np.testing.assert_allclose(value, mean, rtol=1e-4, err_msg=name)


def test_layout():
    entries = layout(ROWS, TASKS, "M2")
    assert [(e.name, e.first, e.last) for e in entries] == [
        ("same", 0, 1),
        ("mend", 1, 3),
        ("cut", 3, 5),
        ("paint", 5, 6),
        ("mend+paint:mend", 6, 7),
        ("mend+paint:paint", 6, 7),
        ("cut+paint:cut", 7, 9),
        ("cut+paint:paint", 7, 9),
    ]
    vectors = _objective("M2").vectors
    np.testing.assert_array_equal(vectors, [TASKS[name].vector for name in OWNERS])
    assert [e.name for e in layout({"paint": 1, "cut": 0}, TASKS, "M3")] == ["paint"]
