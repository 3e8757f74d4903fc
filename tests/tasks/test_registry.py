"""From task tables to tasks, and one line for each mistake in them."""

import pickle

import numpy as np
import pytest
from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError
from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.tasks.registry import build_tasks

L2 = {"l2": 1.0}


def _config():
    tasks = {
        "cut": {"kind": "segmentation", "slot": 3, "loss": L2, "fill": (0.5, 0.5, 0.5)},
        "same": {"kind": "reconstruction", "slot": 0, "loss": L2},
        "mend": {
            "kind": "restoration",
            "slot": 1,
            "loss": {"l2": 2.0, "smooth": 0.1},
            "noise": (0.0, 0.1),
            "scratches": (0, 1),
            "lines": (0, 1),
        },
        "paint": {
            "kind": "style",
            "slot": 2,
            "loss": {"content": 1.0, "style": 1.0},
            "painting": "embedded:swirl",
            "painting_size": 32,
        },
    }
    combined = {
        "paint+mend": {"by": "sequential", "loss": L2},
        "mend+cut": {"by": "mask", "loss": {"l2": 1.0, "adversarial": 0.1}},
    }
    return ConfigDict({"slots": 4, "tasks": tasks, "combined": combined})


def test_single_tasks_by_slot_then_combined():
    tasks = build_tasks(_config())
    assert list(tasks) == ["same", "mend", "paint", "cut", "mend+cut", "paint+mend"]
    vectors = np.stack([task.vector for task in tasks.values()])
    np.testing.assert_array_equal(vectors[:4, 1:], np.eye(4, 3, -1))
    np.testing.assert_array_equal(vectors[4:, 1:], [[1, 0, 1], [1, 1, 0]])
    assert not vectors[:, 0].any()
    assert [part.name for part in tasks["paint+mend"].parts] == ["paint", "mend"]
    assert isinstance(tasks["mend+cut"], Combined) and tasks["mend+cut"].by == "mask"
    assert tasks["mend"].loss == {"l2": 2.0, "smooth": 0.1}


def test_tasks_travel_to_worker_processes():
    tasks = build_tasks(_config())
    assert pickle.loads(pickle.dumps(tasks)) == tasks


def _set(path, value):
    def change(config):
        *parents, last = path
        for key in parents:
            config = config[key]
        if value is None:
            del config[last]
        else:
            with config.unlocked():
                config[last] = value

    return change


WHOLE = ConfigDict({"by": "mask", "loss": L2})
MISTAKES = [
    (("tasks", "mend", "kind"), "restauration", "tasks.mend.kind: .*did you mean 'restoration'"),
    (("tasks", "mend", "kind"), None, "tasks.mend: 'kind' is missing"),
    (("tasks", "mend", "slot"), None, "tasks.mend: 'slot' is missing"),
    (("tasks", "mend", "loss"), None, "tasks.mend: 'loss' is missing"),
    (("tasks", "mend", "noise"), None, "tasks.mend: missing .*'noise'"),
    (("tasks", "mend", "grain"), 3, "tasks.mend: got an unexpected .*'grain'"),
    (("tasks", "mend", "slot"), 3, "slot=3 is taken by"),
    (("tasks", "mend", "slot"), 0, "slot=0 is taken by"),
    (("tasks", "mend", "slot"), 4, "tasks.mend.slot=4 is outside 0..3; widen config.slots"),
    (("tasks", "mend", "slot"), -1, "tasks.mend.slot=-1 is outside"),
    (("tasks", "mend", "loss", "l3"), 1.0, "tasks.mend.loss: no loss term 'l3'"),
    (("tasks", "mend", "loss", "style"), 1.0, "tasks.mend.loss: 'style' needs a painting"),
    (("combined", "mend+cut", "by"), "order", "'order' is neither 'sequential' nor 'mask'"),
    (("combined", "mend+cut", "by"), None, "'by' is missing"),
    (("combined", "mend+cut", "loss", "L2"), 1.0, r"combined.mend\+cut.loss: no loss term 'L2'"),
    (("combined", "mend+cut", "loss", "content"), 1.0, "'content' needs a painting"),
    (("combined", "mend+pain"), WHOLE, "no task 'pain' .did you mean 'paint'"),
    (("combined", "mend"), WHOLE, r"combined.mend: join two or more different tasks with '\+'"),
    (("combined", "cut+cut"), WHOLE, "join two or more different tasks"),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES)
def test_a_mistake_ends_in_one_line(path, value, message):
    config = _config()
    _set(path, value)(config)
    with pytest.raises(UserError, match=message) as caught:
        build_tasks(config)
    assert "\n" not in str(caught.value) and "config." in str(caught.value)
