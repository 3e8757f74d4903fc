"""Classification when no task is named: which of all classes learnt so far does an image show?

The task is found out first, in one of several ways, and its own head then names the class; `joint`
takes the highest score of all heads at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.data.pipeline import Spaced
from taskfusion_jax.methods.l2p import cosines
from taskfusion_jax.metrics.continual import ALL
from taskfusion_jax.tasks.base import Task

if TYPE_CHECKING:
    from taskfusion_jax.evaluator import Evaluator

PER_CLASS = 20
"""Training images whose mean feature is a class's prototype."""


class ClassIncremental:
    """Measures a network on the test images of all tasks learnt, without saying which is which.

    Prototypes are means of the base's features, of training images that a learner would have had at
    hand while it learnt their task; so they are left out where the base moves later.
    """

    def __init__(self, evaluator: Evaluator):
        """evaluator: of a run whose tasks may be classifications."""
        self.evaluator, self.method = evaluator, evaluator.method
        self._nearest = evaluator.measures.jit(
            lambda params, x, slots: self.method.nearest(params, x, slots), static_argnums=2
        )
        self._choice = evaluator.measures.jit(lambda picked, x: self.method.choice(picked, x))
        self._features = evaluator.measures.jit(
            lambda base, x: self.method.backbone.features(base, x)
        )
        self._prototypes: dict[str, np.ndarray] = {}

    def __call__(self, params: dict, tasks: list[Task], base_moved: bool) -> dict[str, float]:
        """`all_classes/accuracy_WAY` and `all_classes/task_found_WAY` for every way there is.

        Args:
          params: the network's.
          tasks: those learnt so far; others than classifications are passed over.
          base_moved: whether a stage after the first changed the base.
        """
        tasks = [task for task in tasks if task.labels]
        if len(tasks) < 2:
            return {}
        right: dict[str, list[np.ndarray]] = {}
        for place, task in enumerate(tasks):
            for real, batch in self.evaluator.batches(task, self.evaluator.options.images):
                ways = self._ways(params, tasks, batch["input"], base_moved)
                label = np.asarray(batch["label"])[:real, 0]
                for way, (found, named) in ways.items():
                    at, name = found[:real] == place, named[:real] == label
                    right.setdefault(f"accuracy_{way}", []).append(at & name)
                    right.setdefault(f"task_found_{way}", []).append(at)
        return {f"{ALL}/{key}": float(np.mean(np.concatenate(x))) for key, x in right.items()}

    def prompts(self, params: dict, tasks: list[Task]) -> dict[str, list[float]]:
        """Task -> how its test images' picks are shared out among the prompts of a pool; nothing
        where there is no pool."""
        if not hasattr(self.method, "choice"):
            return {}
        return {
            task.name: self._shares(self.method.pick(params, task.vector), task)
            for task in tasks
            if task.labels
        }

    def _shares(self, picked: dict, task: Task) -> list[float]:
        counts = 0
        for real, batch in self.evaluator.batches(task, self.evaluator.options.images):
            chosen = np.asarray(self._choice(picked, batch["input"])[0])[:real]
            counts += np.bincount(chosen.ravel(), minlength=len(picked["pool"]["keys"]))
        return (counts / counts.sum()).tolist()

    def _ways(self, params: dict, tasks: list[Task], x: jax.Array, base_moved: bool) -> dict:
        """Way -> (place of the task that was found, class within it), [B] each."""
        scores = [self._scores(params, task, x) for task in tasks]
        named = np.stack([s.argmax(axis=1) for s in scores])
        rows = np.arange(named.shape[1])
        top = np.stack([s.max(axis=1) for s in scores])
        sure = np.stack([_softmax(s).max(axis=1) for s in scores])
        found = {"joint": top.argmax(axis=0), "by_confidence": sure.argmax(axis=0)}
        if hasattr(self.method, "nearest"):
            slots = tuple(task.slot for task in tasks)
            found["by_keys"] = np.asarray(self._nearest(params, x, slots))
        if "base" in params and not base_moved:
            found["by_prototypes"] = self._by_prototypes(params, tasks, x)
        return {way: (places, named[places, rows]) for way, places in found.items()}

    def _scores(self, params: dict, task: Task, x: jax.Array) -> np.ndarray:
        picked = self.method.pick(params, task.vector)
        c = np.tile(task.vector[None], (len(x), 1))
        return np.asarray(self.evaluator.translate(picked, x, c))[:, : task.labels]

    def _by_prototypes(self, params: dict, tasks: list[Task], x: jax.Array) -> np.ndarray:
        means = [self._means(params, task) for task in tasks]
        owners = np.repeat(np.arange(len(tasks)), [len(m) for m in means])
        likeness = cosines(self._features(params["base"], x), jnp.asarray(np.concatenate(means)))
        return owners[np.asarray(jnp.argmax(likeness, axis=1))]

    def _means(self, params: dict, task: Task) -> np.ndarray:
        """Mean feature of each of a task's classes, [labels, width]; kept, as the base is."""
        if task.name not in self._prototypes:
            source = self.evaluator.experiment.source("train", [task])
            features, labels = [], []
            some = Spaced(source, PER_CLASS * task.labels)
            for real, batch in self.evaluator.batches(task, len(some), some):
                features.append(np.asarray(self._features(params["base"], batch["input"]))[:real])
                labels.append(np.asarray(batch["label"])[:real, 0])
            features, labels = np.concatenate(features), np.concatenate(labels)
            fallback = features.mean(axis=0)  # of a class that none of these images shows
            self._prototypes[task.name] = np.stack(
                [
                    features[labels == i].mean(axis=0) if (labels == i).any() else fallback
                    for i in range(task.labels)
                ]
            )
        return self._prototypes[task.name]


def _softmax(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
