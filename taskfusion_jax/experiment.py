"""Everything a config stands for, built once: tasks, networks, stages, sources, constants."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.checks import check_config
from taskfusion_jax.data.arrays import to_unit
from taskfusion_jax.data.classes import check_disjoint
from taskfusion_jax.data.paintings import load_painting
from taskfusion_jax.data.sources import build_source
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine import names, sharding
from taskfusion_jax.engine.compile import jit, jit_once
from taskfusion_jax.engine.gradients import make_gradients
from taskfusion_jax.engine.optimiser import make_optimiser, make_schedule
from taskfusion_jax.engine.state import (
    TEACHERS,
    State,
    copied,
    make_train_step,
    replaced,
    start_stage,
)
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.registry import build_method
from taskfusion_jax.models.patch_gan import PatchGAN
from taskfusion_jax.models.vgg16 import VGG16, gram
from taskfusion_jax.porting.vgg16 import load_vgg16
from taskfusion_jax.stage_rows import section
from taskfusion_jax.stages import Stage, build_stages, learnt_in, turns
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import Combined, parts_of
from taskfusion_jax.tasks.losses import CONTENT_LAYER, PERCEPTUAL
from taskfusion_jax.tasks.objective import Objective, layout
from taskfusion_jax.tasks.registry import build_tasks


class Experiment:
    """What a config describes. Cheap to build: weights, data and programs come when asked for.

    Attributes:
      config: the resolved config.
      tasks: name -> task, single ones first.
      stages: the schedule.
      method: how the tasks share one network.
    """

    def __init__(self, config: ConfigDict):
        """Raises UserError where the config does not make sense."""
        check_config(config)
        self.config = config
        self._sources = {}
        self.tasks = build_tasks(config)
        self.stages = build_stages(config, self.tasks)
        learnt = [self.tasks[name] for name in learnt_in(config)]
        parts = [part for task in learnt for part in parts_of(task)]
        channels = {part.slot: part.channels for part in parts}
        self.method = build_method(config, channels)
        _check_side(config, self.method.backbone.side)
        labelled = [task.name for task in learnt if task.labels and task.name in config.data_of]
        check_disjoint({name: config.data_of[name] for name in labelled})
        self.critic = PatchGAN(dtype=self.method.dtype, **config.critic)
        layers = dict.fromkeys((*config.perceptual.layers, CONTENT_LAYER))
        remat = config.network.remat
        self.vgg = VGG16(layers=tuple(layers), remat=remat, dtype=self.method.dtype)
        for stage in self.stages:
            self._check_stage(stage)
        if config.teacher not in TEACHERS:
            hint = did_you_mean(config.teacher, TEACHERS)
            raise UserError(f"config.teacher: no '{config.teacher}'{hint}")
        first = self.stages[0]
        if config.teacher == "frozen" and first.options.combine in ("M3", "M4"):
            raise UserError(
                f"config.teacher=frozen: {first.field} would learn from a random network; let a "
                "stage with M1 or M2 come first, or use self or ema"
            )
        if config.teacher == "ema" and not config.ema:
            raise UserError("config.teacher=ema needs an average: set config.ema, such as 0.999")

    def _check_stage(self, stage: Stage) -> None:
        asked = turns(stage, self.tasks)
        for task in asked if not self.method.combines else ():
            if isinstance(task, Combined):
                raise UserError(
                    f"{stage.field}.rows.{task.name}: {self.config.method} has a network per task "
                    "and cannot combine tasks; set it to 0"
                )
        for task in asked:
            section(self.config, task)
        moving = self._trainable(self.shapes.params, stage)
        slots = {slot for task in asked for slot in task.active or (0,)}
        net = [name.removeprefix("net/") for name in moving if name.startswith("net/")]
        self.method.check_moves(net, slots, f"{stage.field}.trainable")
        used = [
            n for n in moving if any(self.method.uses(n.removeprefix("net/"), s) for s in slots)
        ]
        if not any(name.startswith("net/") for name in used):
            raise UserError(
                f"{stage.field}.trainable='{stage.options.trainable}' trains nothing that "
                f"{', '.join(dict.fromkeys(task.name for task in asked))} uses: only "
                f"{', '.join(list(moving)[:2])}"
            )

    @functools.cached_property
    def mesh(self) -> jax.sharding.Mesh:
        """All devices of all processes."""
        return meshes.make_mesh(self.config.mesh)

    @functools.cached_property
    def groups(self) -> int:
        """Groups of rows in a global batch."""
        return meshes.groups_for(self.mesh, self.config.groups, self.config.accumulate)

    @functools.cached_property
    def specs(self) -> sharding.Specs:
        """How each parameter is divided among the devices, by name."""
        shapes = names.flatten(self.shapes.params)
        return sharding.parameter_specs(self.mesh, self.config.sharding, shapes, "config.sharding")

    @functools.cached_property
    def shapes(self) -> State:
        """Of the state before the first stage; tracing a network's first parameters takes long."""
        return jax.eval_shape(self._fresh)

    @property
    def has_masks(self) -> bool:
        """Whether some task has a mask on weights."""
        shapes = names.flatten(self.shapes.params["net"])
        return any(self.method.mask_bits(shapes, slot) for slot in range(self.method.slots))

    def data(self, task: Task | None = None) -> ConfigDict:
        """The section of the config with a task's data; none: `config.data`."""
        return section(self.config, task)[1] if task else self.config.data

    def source(self, split: str, task: Task | None = None):
        """The data source of `train` or `test` for a task (none: that of `config.data`), one for
        all tasks with the same data.

        Raises:
          UserError: it cannot be opened.
        """
        data = self.data(task)
        key = json.dumps(json.loads(data.to_json()), sort_keys=True), split
        if key not in self._sources:
            self._sources[key] = build_source(data, split, self.config.seed)
        return self._sources[key]

    def asked_by(self, vector: np.ndarray) -> Task:
        """The task whose vector this is."""
        return next(task for task in self.tasks.values() if np.array_equal(task.vector, vector))

    def init_params(self, rng: jax.Array) -> dict:
        """Fresh parameters of the network and, where a task is adversarial, the discriminator."""
        params = {"net": self.method.init(jax.random.fold_in(rng, 0))}
        if any("adversarial" in self.tasks[name].loss for name in learnt_in(self.config)):
            image, c = jnp.zeros((1, 64, 64, 3)), jnp.zeros((1, self.config.slots))
            params["critic"] = self.critic.init(jax.random.fold_in(rng, 1), image, c)["params"]
        return params

    def _fresh(self) -> State:
        params = self.init_params(jax.random.key(self.config.seed))
        copy = functools.partial(jax.tree.map, jnp.copy)
        ema = copy(params["net"]) if self.config.ema else {}
        teacher = copy(params["net"]) if self.config.teacher == "frozen" else {}
        return State(jnp.zeros((), jnp.int32), params, {}, ema, teacher)

    def init_state(self) -> State:
        """The state before the first stage, made where it lives on the devices."""
        state = jit_once(self._fresh, out_shardings=self._shardings(self.shapes))()
        return replaced(state, self.method.pretrained(names.flatten(self.shapes.params["net"])))

    def _shardings(self, shapes: State) -> State:
        return sharding.state_shardings(self.mesh, self.specs, shapes)

    def _entered_shapes(self, stage: Stage) -> State:
        return jax.eval_shape(functools.partial(self._entered, stage=stage), self.shapes)

    def optimiser(self, stage: Stage, trainable: list[str]):
        """The stage's optimiser on the named parameters."""
        schedule = make_schedule(stage.options, stage.field)
        return make_optimiser(self.config.optimiser, schedule, trainable)

    def _trainable(self, params: dict, stage: Stage) -> dict:
        """Flat dict of the parameters that move in the stage."""
        return names.split(params, stage.options.trainable, f"{stage.field}.trainable")[0]

    def moves(self, stage: Stage, prefix: str) -> bool:
        """Whether a stage moves parameters whose names begin so."""
        return any(name.startswith(prefix) for name in self._trainable(self.shapes.params, stage))

    def _entered(self, state: State, stage: Stage) -> State:
        for source, target in stage.options.copy:  # as `stages` has checked: pairs
            state = copied(state, f"{source}/", f"{target}/", f"{stage.field}.copy")
        moving = self._trainable(state.params, stage)
        return start_stage(state, self.optimiser(stage, list(moving)), moving)

    def enter(self, state: State, stage: Stage) -> State:
        """The state at the beginning of a stage."""
        begin = functools.partial(self._entered, stage=stage)
        return jit_once(begin, out_shardings=self._shardings(self._entered_shapes(stage)))(state)

    def taken_back(self, state: State, before: State, stage: Stage) -> State:
        """The state with what moves in the stage as it was before."""
        moving = self._trainable(before.params, stage)
        params = {**names.flatten(state.params), **moving}
        ema = state.ema
        if ema:
            averages = names.flatten({"net": before.ema})
            chosen = {name: averages[name] for name in moving if name in averages}
            ema = names.unflatten({**names.flatten({"net": ema}), **chosen})["net"]
        return state.replace(params=names.unflatten(params), ema=ema)

    def abstract_state(self, stage: Stage) -> State:
        """Shapes and shardings of a state within the stage, for restoring one."""

        shapes = self._entered_shapes(stage)
        return jax.tree.map(
            lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
            shapes,
            self._shardings(shapes),
        )

    def train_step(self, stage: Stage, params: dict):
        """The stage's jitted step, (state, constants, batch) -> (state, metrics)."""
        entries = layout(stage.options.rows, self.tasks, stage.options.combine)
        method = self.method
        objective = Objective(method.apply, self.critic, self.vgg, entries, method.aside)
        state = jax.tree.map(lambda x: x.sharding, self.abstract_state(stage))
        return make_train_step(
            make_gradients(objective, self.mesh, self.specs, self.config.accumulate),
            self.optimiser(stage, list(self._trainable(params, stage))),
            stage.options.trainable,
            f"{stage.field}.trainable",
            teacher=self.config.teacher,
            ema_decay=self.config.ema,
            shardings=(state, meshes.replicated(self.mesh)),
        )

    def eval_params(self, state: State) -> dict:
        """The network's parameters to evaluate and to use: averaged where an average is kept."""
        return state.ema or state.params["net"]

    @functools.cached_property
    def paintings(self) -> dict:
        """Each style task's painting, float32 [1, h, w, 3] in [0, 1]."""
        styles = {n: t for n, t in self.tasks.items() if hasattr(t, "painting")}
        return {
            name: to_unit(jnp.asarray(load_painting(task.painting, task.painting_size, name)))[None]
            for name, task in styles.items()
        }

    @functools.cached_property
    def constants(self) -> dict:
        """What losses and metrics need beside parameters: VGG16 and the paintings' Gram matrices.

        Raises:
          UserError: weights are needed and not found, or a painting is.
        """
        perceptual = any(PERCEPTUAL & set(task.loss) for task in self.tasks.values())
        measured = self.config.evaluate.lpips or self.config.evaluate.frechet_layers
        if not perceptual and not measured:
            return {}
        vgg = load_vgg16(self.config.perceptual.weights)

        @jit
        def grams(weights, painting):
            features = self.vgg.apply({"params": weights}, painting)
            return {layer: gram(features[layer]) for layer in self.config.perceptual.layers}

        paintings = {name: grams(vgg, image) for name, image in self.paintings.items()}
        return meshes.place(meshes.replicated(self.mesh), {"vgg": vgg, "grams": paintings})


def _check_side(config: ConfigDict, multiple: int) -> None:
    size = config.data.size
    if size % multiple:
        raise UserError(
            f"config.data.size={size} must be a multiple of {multiple}, such as "
            f"{max(size - size % multiple, multiple)}"
        )
