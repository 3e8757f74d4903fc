"""Comparisons: tiny ones through the real loop, and their table from given numbers."""

import json

import jax
import numpy as np
import pytest
from rich.console import Console

from configs import added_task, common, takeda, takeda_rates, untrained
from taskfusion_jax import compare, comparison, train
from taskfusion_jax.engine.files import write_json
from taskfusion_jax.errors import UserError
from taskfusion_jax.report import comparison as report
from taskfusion_jax.report import table
from tests.engine import runs


def tiny(module, *names):
    """A comparison of few runs, that measures little."""
    config = module.get_config("tiny")
    config.base.data.source = "scenes"
    for name in list(config.runs):
        if name not in names:
            del config.runs[name]
    return config


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A folder with two methods trained for a few steps, and its comparison."""
    folder = tmp_path_factory.mktemp("compared")
    config = tiny(takeda, "film", "piggyback1")
    assert compare.run(config, folder, None) == 0
    return folder, config


def test_every_run_is_in_the_table(compared):
    folder, _ = compared
    done = json.loads((folder / "table.json").read_text())
    assert list(done["runs"]) == ["film", "piggyback1"]
    film, apart = done["runs"]["film"], done["runs"]["piggyback1"]
    for run, name in ((film, "film"), (apart, "piggyback1")):
        results = json.loads((folder / f"runs/{name}_seed0/results.json").read_text())
        assert run["metrics"]["restoration/psnr"]["mean"] == results["metrics"]["restoration/psnr"]
    # Combined tasks as the last stage learnt them, and only where the method can.
    results = json.loads((folder / "runs/film_seed0/results.json").read_text())
    assert not [key for key in results["metrics"] if "/M1/" in key]  # the last stage alone
    wanted = results["metrics"]["restoration+segmentation/M3/iou"]
    assert film["metrics"]["restoration+segmentation/iou"]["mean"] == wanted
    assert not [key for key in apart["metrics"] if "+" in key]
    table = (folder / "table.md").read_text()
    assert "| task | metric | doing nothing | film | piggyback1 |" in table
    assert (folder / "figures/runs_tasks_methods.png").exists()
    assert (folder / "figures/strengths_of_film.png").exists()
    page = (folder / "report.html").read_text()
    assert "comparison of runs" in page and "<td" in page and page.count("data:image/jpeg") >= 4
    assert (folder / "figures/runs_combined_methods.png").exists()


def test_done_runs_are_skipped_and_another_config_is_refused(compared, monkeypatch):
    folder, config = compared
    monkeypatch.setattr(train, "run", lambda *_: pytest.fail("trained again"))
    before = (folder / "table.json").read_text()
    assert compare.run(config, folder, None) == 0
    strip = ("commit", "command")
    first, second = (
        {k: v for k, v in json.loads(text).items() if k not in strip}
        for text in (before, (folder / "table.json").read_text())
    )
    assert first == second
    other = config.copy_and_resolve_references()
    other.base.network.width += 4
    with pytest.raises(UserError, match=r"another config .*width"):
        compare.run(other, folder, None)


def test_a_stopped_run_stops_the_comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "run", lambda *_: 143)
    assert compare.run(tiny(takeda, "film", "sgn"), tmp_path, None) == 143


def test_piggybacks_base_stands_still(compared):
    """After the masks were trained, the base and its task are bit-identical."""
    run = compared[0] / "runs/piggyback1_seed0"
    before, after = (runs.saved(run, step) for step in (2, 4))
    base = [name for name in before if name.startswith("['params']['net']['base']")]
    masks = [name for name in before if "['params']" in name and "['mask']" in name]
    assert base and masks
    assert all(before[name] == after[name] for name in base)
    assert any(before[name] != after[name] for name in masks)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["row", "row_out"])
def test_a_later_task_leaves_the_others_as_they_were(tmp_path, name):
    """Only the new task's own part moves; what other tasks compute is bit-identical."""
    config = comparison.members(tiny(added_task, name))[name, 0]
    config.ema, config.stages.single.steps, config.stages.combined.steps = 0.9, 3, 3
    assert train.run(config, tmp_path) == 0
    before, after = (
        json.loads((tmp_path / f"evaluations/{stage}.json").read_text())["metrics"]
        for stage in ("single", "combined")
    )
    old = [k for k in before if not k.startswith("style_2/")]
    new = [k for k in before if k.startswith("style_2/") and not k.endswith("_identity")]
    assert len(old) > 20 and all(before[k] == after[k] for k in old)
    assert all(before[k] != after[k] for k in new)


@pytest.mark.parametrize(
    "module",
    [
        takeda,
        *(pytest.param(m, marks=pytest.mark.slow) for m in (takeda_rates, untrained, added_task)),
    ],
)
def test_every_run_of_a_comparison_makes_sense(module):
    from taskfusion_jax.experiment import Experiment

    for (name, seed), config in comparison.members(module.get_config("small")).items():
        experiment = Experiment(config)
        assert seed == 0 and config.name.endswith(f"_{name}")
        shapes = jax.eval_shape(experiment.init_params, jax.random.key(0))
        for stage in experiment.stages:
            assert experiment._trainable(shapes, stage)


@pytest.mark.parametrize("arg", ["", "small"])
def test_runs_that_are_compared_see_as_many_rows_of_each_task(arg):
    def seen(run, task):
        stages = [run.stages[name] for name in run.schedule]
        return sum(stage.steps * stage.rows.get(task, 0) for stage in stages)

    for module in (takeda, takeda_rates, untrained):
        compared = comparison.members(module.get_config(arg)).values()
        for task in common.SINGLE:
            assert len({seen(run, task) for run in compared}) == 1
    members = comparison.members(added_task.get_config(arg))
    joint, row = members["joint", 0], members["row", 0]
    assert 0 <= seen(row, "style_2") - seen(joint, "style_2") < row.stages.combined.steps
    for name in ("row_out", "finetune"):
        for task in common.SINGLE:
            assert seen(members[name, 0], task) == seen(row, task)


def test_left_out_combinations_are_never_trained():
    for (name, _), run in comparison.members(untrained.get_config()).items():
        for stage in run.stages.values():
            assert not stage.rows.get(untrained.TRIPLE, 0)
            if name not in ("m3", "m4"):
                assert not any(stage.rows.get(pair, 0) for pair in untrained.LEFT_OUT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.runs.film.update({"metod": "sgn"}), "config.runs.film: .*metod"),
        (lambda c: c.runs.film.update({"method": "sng"}), "no 'sng'"),
    ],
)
def test_wrong_runs_are_refused(tmp_path, change, message):
    config = tiny(takeda, "film")
    with config.unlocked():
        change(config)
    with pytest.raises(UserError, match=message):
        compare.run(config, tmp_path, None)


def test_what_is_no_comparison_is_refused(tmp_path):
    with pytest.raises(UserError, match="this config is one run"):
        compare.run(takeda.get_config("film,tiny"), tmp_path, None)
    with pytest.raises(UserError, match=r"--only: no run 'flim' .did you mean 'film'"):
        compare.run(takeda.get_config("tiny"), tmp_path, ["flim"])


def test_the_table_shows_means_spreads_and_the_best():
    def run(values, seeds):
        metrics = {k: {"mean": m, "std": s} for k, (m, s) in values.items()}
        metrics["seconds"] = {"mean": 90.0, "std": 0.0}
        facts = {k: {"0": k} for k in ("data", "hardware", "frechet")} | {"styles": ["style"]}
        sizes = {"parameters": 12345, "bits": 0, "bytes": 3 * 2**20, "masks": None}
        sizes["bytes_per_task"] = {"x": 2**22, "y": 2**18, "z": 2**19}
        return {"seeds": seeds, "metrics": metrics, **sizes, **facts}

    done = {
        "commit": "abc",
        "command": "compare",
        "tables": {"Methods": ["a", "b", "c"]},
        "shown": list(report.SHOWN),
        "published": {"Paper": {"a": {"segmentation/iou": 0.5907}, "b": {}}},
        "runs": {
            "a": run(
                {
                    "x/psnr": (20.0, 0.5),
                    "x/psnr_identity": (10.0, 0.0),
                    "y+style/psnr": (8, 0),
                },
                [0, 1],
            ),
            "b": run(
                {
                    "x/psnr": (21.0, 0.25),
                    "y+style/iou": (0.5, 0),
                    "y+style/psnr": (9, 0),
                    "z+style/psnr": (7, 0),
                },
                [0, 1],
            ),
        },
    }
    methods, published = report.grids(done)
    assert methods.headings == ("doing nothing", "a", "b")
    rows = {names: [cell.plain for cell in cells] for names, cells in methods.rows}
    assert rows["x", "PSNR dB ↑"] == ["10.00", "20.00 ± 0.50", "21.00 ± 0.25"]
    assert [cell.best for cell in methods.rows[0][1]] == [False, False, True]
    assert rows["y + style", "IoU ↑"] == [table.DASH, table.DASH, "0.500 ± 0.000"]
    assert ("y + style", "PSNR dB ↑") not in rows  # its target is the network's own
    assert rows["z + style", "PSNR dB ↑"][1:] == [table.DASH, "7.00 ± 0.00"]  # compares nothing
    assert rows["size", "parameters"] == [table.DASH, "12,345", "12,345"]
    assert rows["", "MiB in all"] == [table.DASH, "4.75", "4.75"]  # each task as it was learnt
    later = rows["", "MiB that the last task adds"]
    assert later == [table.DASH, "0.5", "0.5"]  # the first is not added
    assert rows["training", "minutes"] == [table.DASH, "1.5", "1.5"]
    assert [cell.text for cell in published.rows[0][1]] == ["0.5907", table.DASH]


def test_show_prints_the_table(tmp_path, compared):
    console = Console(record=True, width=120)
    report.show_comparison(compared[0], console)
    shown = console.export_text()
    assert "piggyback1" in shown and "parameters" in shown and "Fréchet" in shown
    write_json(tmp_path / "nothing.json", {})
    report.show_comparison(tmp_path, console)
    assert "No run is done yet" in console.export_text()


def test_spread_is_the_sample_standard_deviation():
    values = [1.0, 2.0, 4.0]
    spread = report._spread(values)
    assert spread["mean"] == pytest.approx(7 / 3)
    assert spread["std"] == pytest.approx(np.sqrt(np.var(values) * 3 / 2))
    assert jax.tree.leaves(report._spread([1.0])) == [1.0, 0.0]


def test_each_seed_may_have_images_of_its_own_but_runs_of_a_seed_may_not(tmp_path):
    """Scenes are drawn by the seed, so two seeds are never measured on the same ones."""
    config = tiny(takeda, "film", "sgn")
    config.seeds = (0, 1)
    compared = comparison.Comparison(config, tmp_path)
    for (name, seed), options in compared.members.items():
        folder = compared.folder(name, seed)
        folder.claim(options)
        results = folder.results
        steps = sum(options.stages[stage].steps for stage in options.schedule)
        facts = {"steps": steps, "seconds": 1, "frechet": "", "hardware": "cpu", "metrics": {}}
        data = {"data": f"scenes {seed}", "data_of": {"x": f"scenes {seed}", "y": "photographs"}}
        write_json(results, {**facts, **data, "metrics": {"x/psnr": seed}})
        folder.report.write_text("")
    runs = report._gather(compared)
    assert runs["film"]["seeds"] == [0, 1] and runs["sgn"]["metrics"]["x/psnr"]["mean"] == 0.5
    for images in ({"x": "other", "y": "photographs"}, {"x": "scenes 1", "y": "scenes 1"}):
        write_json(results, {**facts, **data, "data_of": images})
        with pytest.raises(UserError, match="sgn_seed1 was measured otherwise"):
            report._gather(compared)
    write_json(results, {**facts, **data, "frechet": "FID"})
    with pytest.raises(UserError, match="sgn_seed1 was measured otherwise"):
        report._gather(compared)
    # Of tasks that not all runs have, the others are compared.
    for images in ({"x": "scenes 1"}, {"x": "scenes 1", "z": "more"}):
        write_json(results, {**facts, **data, "data_of": images})
        assert report._gather(compared)["sgn"]["data_of"]["1"] == images
    folder.report.unlink()  # as if it had died before
    assert compared.done() == {"film": [0, 1], "sgn": [0]}
