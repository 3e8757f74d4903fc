"""The report is whole, self-contained, and safe whatever its folder holds."""

import html.parser
import json
import math

import numpy as np
import pytest

from taskfusion_jax.errors import UserError
from taskfusion_jax.report import figures
from taskfusion_jax.report.html import duration, write_report

EVIL = "<script>alert(1)"
VOID = {"meta", "img", "input", "br"}


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and gathers text and what would be loaded."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.loads, self.text = [], [], [], ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "pre"):
            self.text += data


@pytest.fixture
def workdir(tmp_path):
    image = np.full((8, 8, 3), 0.5, np.float32)
    figures.task_grid(tmp_path / "figures" / "tasks.png", [("restoration", {"input": [image]})])
    figures.pair_sweep(tmp_path / "figures" / "pair_a+b.png", ("a", "b"), [0], [[image]])
    figures.task_grid(tmp_path / "figures" / "extra.png", [("restoration", {"input": [image]})])
    results = {
        "name": "quick",
        "command": "python -m taskfusion_jax.main --config=configs/x.py && echo done",
        "commit": "0123456789abcdef",
        "seed": 0,
        "data": "64 of Scenes",
        "hardware": "1 x cpu",
        "steps": 12000,
        "seconds": 7423.4,
        "metrics": {"restoration/psnr": 24.1, f"{EVIL}/psnr": math.nan, "a+b/M3/psnr": 20.0},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "config.json").write_text(json.dumps({"name": EVIL, "seed": 0}))
    return tmp_path


def test_report_is_self_contained_and_escaped(workdir):
    path = write_report(workdir)
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert path == workdir / "report.html"
    assert "script" not in page.tags
    assert source.count("<script") == 0
    assert "http://" not in source and "https://" not in source
    assert len(page.loads) == 3
    assert all(load.startswith("data:image/jpeg;base64,") for load in page.loads)
    assert EVIL in page.text
    assert [p.name for p in workdir.iterdir() if "partial" in p.name] == []


def test_report_tells_the_run(workdir):
    source = write_report(workdir).read_text(encoding="utf-8")
    text = " ".join(Page(source).text.split())
    assert "12,000 steps and 2 h 3 min on 1 x cpu." in text
    assert "Measured on 64 of Scenes. Seed 0. Commit 0123456789ab." in text
    assert "24.10" in text
    assert "git checkout 0123456789abcdef\npython -m taskfusion_jax.main" in source
    assert "x.py &amp;&amp; echo" in source
    assert text.index("What each task does") < text.index("own strength: a + b")
    assert text.index("own strength: a + b") < text.index("extra")
    assert "Not here yet: the figure “A task at rising strength”" in text


def test_empty_folder_still_gives_a_report(tmp_path):
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert tmp_path.name in page.text
    assert "Nothing has been measured yet" in page.text
    assert "Not here yet: results.json, config.json" in page.text


def test_unreadable_results_and_folders_are_named(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"results\.json"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        write_report(tmp_path / "absent")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (9.6, "10 s"), (250, "4 min 10 s"), (3600, "1 h 0 min"), (7423.4, "2 h 3 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
