"""The examples run from the command line, twice, and leave what they say."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from tests.engine import runs

PICTURES = {
    "fuse_three_tasks": ("fused.png", "strengths.png"),
    "five_tasks_in_a_row": ("forgetting.png",),
    "half_a_percent": ("told.png",),
}


def started(name, workdir):
    words = [sys.executable, "-m", f"examples.{name}", "--quick", f"--workdir={workdir}"]
    process = subprocess.run(
        words, cwd=runs.ROOT, env=runs.environment(), capture_output=True, text=True, timeout=600
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def test_all_examples_are_tried():
    files = {path.stem for path in (runs.ROOT / "examples").glob("*.py")}
    assert files - {"pictures"} == set(PICTURES)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_example(name, tmp_path):
    first = started(name, tmp_path)
    sizes = set()
    for picture in PICTURES[name]:
        assert f"Picture: {tmp_path / picture}" in first
        with Image.open(tmp_path / picture) as image:
            assert len(image.getcolors(10**6)) > 100
            sizes.add(image.size)
            assert image.width > 1000
    # Again: nothing is trained, and the numbers are the same.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/checkpoints/*")}
    assert before
    again = started(name, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    numbers = re.compile(r"^(?:restoration|finetune|head|lora|piggyback)\S* .*\d$", re.M)
    assert numbers.findall(first) and numbers.findall(first) == numbers.findall(again)
