"""Averages over a stream of tasks, against numbers worked out by hand."""

import pytest

from taskfusion_jax.metrics.continual import stream_metrics

LEARNT = {"a": "first", "b": "second", "c": "third"}
MATRIX = {
    "first": {"a/accuracy": 0.9, "b/accuracy": 0.25},
    "second": {"a/accuracy": 0.95, "b/accuracy": 0.8, "c/accuracy": 0.5},
    "third": {
        "a/accuracy": 0.6,
        "b/accuracy": 0.7,
        "c/accuracy": 0.8,
        "a/accuracy_identity": 0.5,
        "b/accuracy_identity": 0.2,
        "c/accuracy_identity": 0.1,
    },
}


def test_averages():
    values = stream_metrics(MATRIX, LEARNT)
    assert values == pytest.approx(
        {
            "stream/as_learnt": (0.9 + 0.8 + 0.8) / 3,
            "stream/average_accuracy": (0.6 + 0.7 + 0.8) / 3,
            "stream/forgetting": ((0.95 - 0.6) + (0.8 - 0.7)) / 2,
            "stream/forward_transfer": ((0.25 - 0.2) + (0.5 - 0.1)) / 2,
        }
    )


def test_without_measures_before_a_task_there_is_no_forward_transfer():
    matrix = {
        **MATRIX,
        "first": {"a/accuracy": 0.9},
        "second": {"a/accuracy": 0.9, "b/accuracy": 1},
    }
    assert "stream/forward_transfer" not in stream_metrics(matrix, LEARNT)


def test_one_task_is_no_stream():
    assert stream_metrics({"first": MATRIX["third"]}, {"a": "first"}) == {}
    assert stream_metrics({}, LEARNT) == {}
