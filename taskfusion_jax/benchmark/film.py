"""FiLM fusion's works: forward, a plain L2 step, and the experiment's own step."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.benchmark import flops
from taskfusion_jax.benchmark.own_step import choose_stage, noise_batch, own_step
from taskfusion_jax.benchmark.pipeline import Pipeline
from taskfusion_jax.benchmark.programs import Forward, supervised_step
from taskfusion_jax.benchmark.work import Work
from taskfusion_jax.engine.state import TEACHERS, State
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.tasks.objective import Objective, layout


class Film:
    """Works of `config.method=film` on synthetic batches. See `workloads.Workload`."""

    def __init__(self, config: ConfigDict, batch: int, stage: str | None):
        """batch: images of forward and L2 step; stage: of the full step, None = the first.

        Raises:
          UserError: the config does not make sense, or has no such stage.
        """
        self.config, self.batch = config, batch
        self.experiment = Experiment(config)
        self.stage = choose_stage(self.experiment.stages, stage)
        self.dtype = self.experiment.method.dtype
        rng = np.random.default_rng(config.seed)
        size = config.data.size
        self._x = rng.random((batch, size, size, 3), np.float32)
        self._c = rng.random((batch, config.slots), np.float32)

    def pipeline(self) -> Pipeline:
        """The input pipeline of the stage."""
        return Pipeline(self.experiment, self.stage)

    def works(self) -> dict[str, Any]:
        """Name -> what makes the work."""
        return {
            "forward": self._forward,
            "train_step_l2": self._train_step_l2,
            "train_step": self._train_step,
        }

    def _state(self) -> State:
        """A state in the stage. Its weights are moved away from where they start: a layer that is
        zero there would hide what lies behind it from the comparison."""
        state, rng = self.experiment.init_state(), np.random.default_rng(self.config.seed)

        def moved(leaf):
            noise = rng.normal(0, 0.02, leaf.shape).astype(np.float32)
            return jax.device_put(np.asarray(leaf) + noise, leaf.sharding)

        state = state.replace(params=jax.tree.map(moved, state.params))
        return self.experiment.enter(state, self.stage)

    def _net(self) -> dict:
        """The network's weights, on one device."""
        return jax.tree.map(np.asarray, self._state().params["net"])

    def _forward(self) -> Work:
        apply, net = self.experiment.method.apply, self._net()

        def twin():
            from taskfusion_jax.benchmark.twins import film

            return film.forward(self.config, net, self._x, self._c)

        return Work(
            "forward",
            self.batch,
            transform_net_flops(self.config.network, self._x.shape),
            lambda: Forward(apply, net, self._x, self._c),
            twin,
            flops.count(apply, net, self._x, self._c),
        )

    def _train_step_l2(self) -> Work:
        apply, net, target = self.experiment.method.apply, self._net(), self._x[::-1].copy()
        rate = self.stage.options.lr

        def loss(params, x, c, target):
            return jnp.mean((apply(params, x, c) - target) ** 2)

        def twin():
            from taskfusion_jax.benchmark.twins import film

            return film.l2_step(self.config, net, self._x, self._c, target, rate)

        return Work(
            "train_step_l2",
            self.batch,
            3 * transform_net_flops(self.config.network, self._x.shape),
            lambda: supervised_step(loss, net, (self._x, self._c, target), rate),
            twin,
            note="the network alone, L2 and Adam",
        )

    def _train_step(self) -> Work:
        experiment, stage = self.experiment, self.stage
        entries = layout(stage.options.rows, experiment.tasks, stage.options.combine)
        objective = Objective(experiment.method.apply, experiment.critic, experiment.vgg, entries)
        batch = noise_batch(experiment, len(objective.vectors))
        images = batch["input"].shape[0] * batch["input"].shape[1]
        state = self._state()

        def twin():
            from taskfusion_jax.benchmark.twins import film

            teacher = TEACHERS[self.config.teacher](state)
            weights = (state.params, teacher, experiment.constants)
            weights = jax.tree.map(np.asarray, weights)
            return film.full_step(experiment, stage, objective, weights, batch)

        return Work(
            "train_step",
            images,
            self._step_flops(objective, state.params, batch),
            lambda: own_step(experiment, stage, self._state(), batch),
            twin,
            note=f"all losses of stage '{stage.name}' ({stage.options.combine}) on its own rows",
        )

    def _step_flops(self, objective: Objective, params: dict, batch: dict) -> float:
        """Forward of the network three times over, as is the custom for training, its forward for
        the targets that it makes itself, and the losses as they are traced."""
        made_by_teacher = []

        def stub(scale, x, c):
            """Stands in for the network: its output has gradients, but it costs nothing."""
            if scale is None:
                made_by_teacher.append(x.shape[0])
                return x
            return scale * x

        losses = Objective(stub, objective.critic, objective.vgg, objective.entries)
        counted = {**params, "net": jnp.ones(())}
        total = flops.count(
            jax.grad(losses, has_aux=True), counted, None, self.experiment.constants, batch
        )
        groups, rows, *size = batch["input"].shape
        passes = 3 * groups * rows + sum(made_by_teacher)
        return total + transform_net_flops(self.config.network, (passes, *size))


def transform_net_flops(options: ConfigDict, shape: tuple[int, ...]) -> float:
    """FLOPs of TransformNet's convolutions as Johnson et al. define them, whatever computes them.

    FiLM's generators are left out: they are less than a thousandth.

    Args:
      options: `config.network`.
      shape: of the images, [B, H, W, 3].
    """
    w, out = options.width, 3 + options.pixel_gate
    full = 81 * 3 * w + 9 * 2 * w * w + 81 * w * out  # down_0, up_1, out
    half = 9 * w * 2 * w + 9 * 4 * w * 2 * w  # down_1, up_0
    quarter = 9 * 2 * w * 4 * w + options.blocks * 2 * 9 * (4 * w) ** 2  # down_2, blocks
    batch, height, width, _ = shape
    return 2.0 * batch * height * width * (full + half / 4 + quarter / 16)
