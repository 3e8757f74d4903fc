"""What a stream of tasks did to each of them, from accuracies after every stage.

Lopez-Paz & Ranzato 2017, "Gradient Episodic Memory"; Chaudhry et al. 2018, "Riemannian Walk".
"""

from collections.abc import Mapping

import numpy as np

STREAM, ALL = "stream", "all_classes"
"""What stand for the task in the names of metrics: of the whole stream, and where no task is named
(`protocols`)."""


def stream_metrics(
    matrix: Mapping[str, Mapping[str, float]], learnt: Mapping[str, str]
) -> dict[str, float]:
    """Averages over the tasks that have an accuracy.

    Args:
      matrix: stage -> flat metrics measured after it, with `TASK/accuracy` and
        `TASK/accuracy_identity` among them.
      learnt: task -> the stage that taught it, in the order of the stages.

    Returns:
      `stream/as_learnt`: mean accuracy of each task just after its stage;
      `stream/average_accuracy`: at the end;
      `stream/forgetting`: mean over all but the last task of its best accuracy before the end less
        that at the end;
      `stream/forward_transfer`: mean over all but the first task of its accuracy just before its
        stage less that of always naming the commonest class, where it was measured then. With a
        fresh head per task, which always names its first class, it says nothing.
      Nothing where fewer than two tasks were measured at the end.
    """
    stages = list(matrix)
    if not stages:
        return {}
    end, places = matrix[stages[-1]], {stage: place for place, stage in enumerate(stages)}
    tasks = {
        task: places[stage]
        for task, stage in learnt.items()
        if f"{task}/accuracy" in end and stage in places
    }
    if len(tasks) < 2:
        return {}

    def at(task, place):
        return matrix[stages[place]].get(f"{task}/accuracy", np.nan)

    last = len(stages) - 1
    lost = [
        max(at(task, place) for place in range(first, last)) - at(task, last)
        for task, first in tasks.items()
        if first < last
    ]
    ahead = [
        at(task, first - 1) - end.get(f"{task}/accuracy_identity", np.nan)
        for task, first in tasks.items()
        if first > 0
    ]
    values = {
        "as_learnt": np.mean([at(task, first) for task, first in tasks.items()]),
        "average_accuracy": np.mean([at(task, last) for task in tasks]),
        "forgetting": np.mean(lost) if lost else np.nan,
        "forward_transfer": np.mean(ahead) if ahead else np.nan,
    }
    return {f"{STREAM}/{key}": float(x) for key, x in values.items() if np.isfinite(x)}
