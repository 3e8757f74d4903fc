"""Classification when no task is named: which of all classes learnt so far does an image show?

Each learnt task looks at the image with its own parameters. Ways to answer:
- `joint`: the highest score of all heads, each on what its own task sees;
- `by_confidence`: the head that is surest (least entropy, in units of its number of classes);
- `by_keys`: the task whose key is nearest looks, and all heads read it (DualPrompt);
- `by_prototypes`: the task of the class whose mean feature is nearest, by its own head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.data.chosen import Chosen
from taskfusion_jax.methods.l2p import cosines
from taskfusion_jax.metrics.continual import ALL
from taskfusion_jax.tasks.base import Task

if TYPE_CHECKING:
    from taskfusion_jax.evaluator import Evaluator

Answer = tuple[np.ndarray, np.ndarray]
"""For each image the place of the task that was found, and the class within it; [B] each."""


class ClassIncremental:
    """Measures a network on the test images of all tasks learnt, without saying which is which.

    Prototypes are means of the base's features of `config.evaluate.prototypes` training images of
    each class, which a learner would have had at hand while it learnt their task; they are left out
    where the base moves later.
    """

    def __init__(self, evaluator: Evaluator):
        """evaluator: of a run whose tasks may be classifications."""
        self.evaluator, self.method = evaluator, evaluator.method
        method, jit = self.method, evaluator.measures.jit
        self._represent = jit(lambda picked, x: method.represent(picked, x))
        self._choice = jit(lambda picked, x: method.choice(picked, x))
        self._nearest = jit(
            lambda params, x, slots: method.nearest(params, x, slots), static_argnums=2
        )
        self._features = jit(lambda base, x: method.backbone.features(base, x))
        self._prototypes: dict[str, np.ndarray] = {}

    def __call__(self, params: dict, tasks: list[Task], base_moved: bool) -> dict[str, float]:
        """`all_classes/accuracy_WAY` and `all_classes/task_found_WAY` for every way there is.

        Args:
          params: the network's.
          tasks: those learnt so far; others than classifications are passed over.
          base_moved: whether a stage after the first changed the base.
        """
        tasks = [task for task in tasks if task.labels]
        if len(tasks) < 2 or self.method.represent is None:
            return {}
        picked = [self.method.pick(params, task.vector) for task in tasks]
        heads = [self._head(params, task) for task in tasks]
        means = [] if base_moved else [self._means(params, task) for task in tasks]
        right: dict[str, list[np.ndarray]] = {}
        for place, task in enumerate(tasks):
            for real, batch in self.evaluator.batches(task, self.evaluator.options.images):
                x, label = batch["input"], self._on_host(batch["label"])[:real, 0]
                seen = [np.asarray(self._represent(p, x)) for p in picked]
                scores = [[rep @ kernel + bias for kernel, bias in heads] for rep in seen]
                answers = ways(scores) | self._by_keys(params, tasks, scores, x)
                if means:
                    near = nearest_class(np.asarray(self._features(params["base"], x)), means)
                    answers["by_prototypes"] = (near, _own(scores)[near, np.arange(len(near))])
                for way, (found, named) in answers.items():
                    at, name = found[:real] == place, named[:real] == label
                    right.setdefault(f"accuracy_{way}", []).append(at & name)
                    right.setdefault(f"task_found_{way}", []).append(at)
        return {f"{ALL}/{key}": float(np.mean(np.concatenate(x))) for key, x in right.items()}

    def prompts(self, params: dict, tasks: list[Task]) -> dict[str, list[float]]:
        """Task -> how its test images' picks are shared out among the prompts of a pool; nothing
        where there is no pool."""
        if self.method.choice is None:
            return {}
        return {task.name: self._shares(params, task) for task in tasks if task.labels}

    def _shares(self, params: dict, task: Task) -> list[float]:
        counts, picked = 0, self.method.pick(params, task.vector)
        for real, batch in self.evaluator.batches(task, self.evaluator.options.images):
            chosen = np.asarray(self._choice(picked, batch["input"])[0])[:real]
            counts += np.bincount(chosen.ravel(), minlength=len(picked["pool"]["keys"]))
        return (counts / counts.sum()).tolist()

    def _on_host(self, x: jax.Array) -> np.ndarray:
        """Whole, wherever its parts lie."""
        return np.asarray(self.evaluator.whole(x))

    def _head(self, params: dict, task: Task) -> tuple[np.ndarray, np.ndarray]:
        head = params[f"task_{task.slot}"][self.method.backbone.head]
        return self._on_host(head["kernel"]), self._on_host(head["bias"])

    def _by_keys(self, params: dict, tasks: list[Task], scores: list, x: jax.Array) -> dict:
        if self.method.nearest is None:
            return {}
        slots = tuple(task.slot for task in tasks)
        return {"by_keys": by_expert(scores, np.asarray(self._nearest(params, x, slots)))}

    def _means(self, params: dict, task: Task) -> np.ndarray:
        """Mean feature of each of a task's classes, [labels, width]; kept, as the base is."""
        if task.name not in self._prototypes:
            source = self.evaluator.experiment.source("train", task)
            count = self.evaluator.options.prototypes
            places = [np.flatnonzero(source.label_ids == i)[:count] for i in range(task.labels)]
            some = Chosen(source, np.concatenate(places))
            features = [
                np.asarray(self._features(params["base"], batch["input"]))[:real]
                for real, batch in self.evaluator.batches(task, len(some), some)
            ]
            ends = np.cumsum([len(p) for p in places])[:-1]
            parts = np.split(np.concatenate(features), ends)
            self._prototypes[task.name] = np.stack([part.mean(axis=0) for part in parts])
        return self._prototypes[task.name]


def ways(scores: list[list[np.ndarray]]) -> dict[str, Answer]:
    """`joint` and `by_confidence`.

    scores: [T][T] arrays [B, classes]: of what task i sees, by the head of task j.
    """
    named, own = _own(scores), [scores[i][i] for i in range(len(scores))]
    rows = np.arange(named.shape[1])
    top = np.stack([s.max(axis=1) for s in own]).argmax(axis=0)
    sure = np.stack([_entropy(s) / np.log(s.shape[1]) for s in own]).argmin(axis=0)
    found = {"joint": top, "by_confidence": sure}
    return {way: (places, named[places, rows]) for way, places in found.items()}


def by_expert(scores: list[list[np.ndarray]], expert: np.ndarray) -> Answer:
    """All heads on what one task sees, another for each image; expert: its place, [B]."""
    rows = np.arange(len(expert))
    tops = np.stack([[s.max(axis=1) for s in heads] for heads in scores])  # [T, T, B]
    names = np.stack([[s.argmax(axis=1) for s in heads] for heads in scores])
    found = tops[expert, :, rows].argmax(axis=1)
    return found, names[expert, found, rows]


def nearest_class(features: np.ndarray, means: list[np.ndarray]) -> np.ndarray:
    """For features [B, width] the place of the task of the nearest mean, by cosine, [B]."""
    owners = np.repeat(np.arange(len(means)), [len(m) for m in means])
    likeness = cosines(jnp.asarray(features), jnp.asarray(np.concatenate(means)))
    return owners[np.asarray(jnp.argmax(likeness, axis=1))]


def _own(scores: list[list[np.ndarray]]) -> np.ndarray:
    """What each task's own head says of what it sees, [T, B]."""
    return np.stack([heads[i].argmax(axis=1) for i, heads in enumerate(scores)])


def _entropy(scores: np.ndarray) -> np.ndarray:
    logs = scores - scores.max(axis=1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return -np.sum(np.exp(logs) * logs, axis=1)
