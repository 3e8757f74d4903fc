"""Answers without the task's name, against loops over images."""

import numpy as np
import pytest

from taskfusion_jax.protocols import by_expert, nearest_class, ways

CLASSES = (2, 4, 3)
IMAGES = 40


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    return [[rng.normal(size=(IMAGES, n)) for n in CLASSES] for _ in CLASSES]


def test_joint_is_the_highest_score_of_all_heads(scores):
    found, named = ways(scores)["joint"]
    for i in range(IMAGES):
        every = [(scores[t][t][i, c], t, c) for t, n in enumerate(CLASSES) for c in range(n)]
        assert (found[i], named[i]) == max(every)[1:]


def test_confidence_is_the_least_entropy_of_what_is_possible(scores):
    found, named = ways(scores)["by_confidence"]
    for i in range(IMAGES):
        doubts = []
        for t, n in enumerate(CLASSES):
            p = np.exp(scores[t][t][i]) / np.exp(scores[t][t][i]).sum()
            doubts.append(-(p * np.log(p)).sum() / np.log(n))
        assert found[i] == np.argmin(doubts)
        assert named[i] == scores[found[i]][found[i]][i].argmax()


def test_all_heads_read_what_the_expert_sees(scores):
    expert = np.random.default_rng(1).integers(0, 3, IMAGES)
    found, named = by_expert(scores, expert)
    for i, e in enumerate(expert):
        every = [(scores[e][t][i, c], t, c) for t, n in enumerate(CLASSES) for c in range(n)]
        assert (found[i], named[i]) == max(every)[1:]


def test_the_nearest_mean_tells_the_task():
    rng = np.random.default_rng(2)
    means = [rng.normal(size=(n, 5)).astype(np.float32) for n in CLASSES]
    features = rng.normal(size=(IMAGES, 5)).astype(np.float32)
    found = nearest_class(features, means)
    for x, place in zip(features, found, strict=True):
        best = [max(x @ m / np.linalg.norm(m) for m in part) for part in means]
        assert place == np.argmax(best)
