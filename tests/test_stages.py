"""From the schedule to stages, and one line for each mistake in it."""

import pytest
from ml_collections import ConfigDict

from configs import film_folder, film_pets, film_voc, quickstart
from taskfusion_jax.errors import UserError
from taskfusion_jax.stages import build_stages, turns
from taskfusion_jax.tasks.registry import build_tasks


def _config():
    l2 = {"l2": 1.0}
    tasks = {
        "b": {"kind": "reconstruction", "slot": 1, "loss": l2},
        "a": {"kind": "reconstruction", "slot": 2, "loss": l2},
    }
    stages = {
        "late": {
            "steps": 5,
            "combine": "M3",
            "rows": {"a+b": 2, "a": 0, "b": 1},
            "start": "",
            "copy": (),
            "replay": 0,
        },
        "early": {
            "steps": 3,
            "combine": "M1",
            "rows": {"a": 1, "b": 2, "a+b": 0},
            "start": "",
            "copy": (),
            "replay": 0,
        },
    }
    return ConfigDict(
        {
            "slots": 3,
            "tasks": tasks,
            "combined": {"a+b": {"by": "mask", "loss": l2}},
            "stages": stages,
            "schedule": ("early", "late"),
        }
    )


def test_stages_follow_one_another():
    config = _config()
    stages = build_stages(config, build_tasks(config))
    spans = [(stage.name, stage.index, stage.first, stage.last) for stage in stages]
    assert spans == [("early", 0, 0, 3), ("late", 1, 3, 8)]
    assert stages[1].field == "config.stages.late"
    assert stages[1].options.combine == "M3"


def test_turns_are_in_the_order_of_the_tasks_not_of_the_rows():
    config = _config()
    tasks = build_tasks(config)
    early, late = build_stages(config, tasks)
    assert [task.name for task in turns(early, tasks)] == ["b", "b", "a"]
    assert [task.name for task in turns(late, tasks)] == ["b", "a+b", "a+b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": ("early", "lat")}, "config.schedule: no stage 'lat' .did you mean 'late'"),
        ({"schedule": ()}, "config.schedule is empty"),
        ({"schedule": ("late", "early", "late")}, "config.schedule names a stage twice"),
        ({"stages.late.steps": 0}, "config.stages.late.steps=0 must be at least 1"),
        ({"stages.late.combine": "M9"}, "stages.late.combine: 'M9' is none of M1, M2, M3, M4"),
        ({"stages.early.rows": {"aa": 1}}, "config.stages.early.rows: no task 'aa'"),
        ({"stages.early.rows.a": -1}, "config.stages.early.rows.a=-1 is negative"),
        ({"stages.early.rows": {"a": 0}}, "config.stages.early.rows gives no task any rows"),
        ({"stages.early.rows": {}}, "config.stages.early.rows gives no task any rows"),
        (
            {"stages.late.start": "earli"},
            "stages.late.start: no stage 'earli' before this one .did you mean 'early'",
        ),
        ({"stages.early.start": "late"}, "stages.early.start: no stage 'late' before this one"),
        ({"stages.late.start": "late"}, "stages.late.start: no stage 'late' before this one"),
        ({"stages.late.combine": "M1"}, r"config.stages.late.rows.a\+b=2, but M1 trains single"),
    ],
)
def test_a_mistake_ends_in_one_line(changes, message):
    config = _config()
    tasks = build_tasks(config)
    for path, value in changes.items():
        *parents, last = path.split(".")
        options = config
        for key in parents:
            options = options[key]
        with config.ignore_type():
            options[last] = ConfigDict(value) if isinstance(value, dict) else value
    with pytest.raises(UserError, match=message) as caught:
        build_stages(config, tasks)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (film_voc.get_config(), [32, 32]),
        (film_voc.get_config("m2"), [32]),
        (film_pets.get_config("m3"), [32]),
        (film_folder.get_config("photos"), None),
        (quickstart.get_config(), None),
    ],
)
def test_the_configs_have_stages(config, rows):
    """The paper's batch is 32 rows."""
    tasks = build_tasks(config)
    counts = [len(turns(stage, tasks)) for stage in build_stages(config, tasks)]
    assert counts == rows if rows else all(counts)
