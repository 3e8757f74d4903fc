"""Parses command lines as a command does, and says what is wrong with each.

    python tests/try_flags.py < lines.json

Reads {verb: list of lists of words} and writes {verb: list of messages}, "" where all is well.
Every line is parsed in a process of its own, as flags can be defined once only; no JAX starts.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from absl import flags

from taskfusion_jax import cli


def parse(verb: str, words: list[str]) -> str:
    """What is wrong with the words, besides what `cli` prints itself."""
    sys.argv = ["command", *words]
    rest = cli._parse(sys.argv)[1:]
    if rest:
        return f"'{rest[0]}' is no flag"
    config = flags.FLAGS["config"].value if "config" in flags.FLAGS else None
    if config is None:
        return ""
    runs = config.get("runs")
    if verb == "compare" and runs is None:
        return "no comparison"
    if verb in ("main", "describe") and runs is not None:
        return "a comparison"
    only = flags.FLAGS["only"].value if verb == "compare" else None
    return "".join(f"no run {name} " for name in only or () if name not in runs)


def alone(act: Callable[[], str]) -> str:
    """What `act` returns, or whatever it complains of, in a process of its own."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            message = pipe.read()
        return message if os.waitpid(child, 0)[1] == 0 else message.strip() or "failed"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(writing, 2)
    code = 0
    try:
        with os.fdopen(writing, "w") as pipe:
            pipe.write(act())
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        code = os.write(2, repr(error).encode())
    os._exit(int(bool(code)))


def tried(verb: str, lines: list[list[str]]) -> str:
    """JSON of the messages about the lines of one verb."""
    package = ".__main__" if verb in ("benchmark", "demo", "scaling") else ""
    importlib.import_module(f"taskfusion_jax.{verb}{package}")
    answers = [unknown(words) or alone(lambda words=words: parse(verb, words)) for words in lines]
    return json.dumps(answers)


def unknown(words: list[str]) -> str:
    """The first flag that the command does not have; cheaper than to parse."""
    names = [w[2:].partition("=")[0].replace("-", "_") for w in words if w.startswith("--")]
    wrong = [n for n in names if n not in flags.FLAGS and not n.startswith("config.")]
    return f"no flag --{wrong[0]}" if wrong else ""


if __name__ == "__main__":
    for file in Path("configs").glob("*.py"):  # once for all, as they import much
        importlib.import_module(f"configs.{file.stem}")
    answers = {v: alone(lambda v=v, x=x: tried(v, x)) for v, x in json.load(sys.stdin).items()}
    print(json.dumps({verb: json.loads(answer) for verb, answer in answers.items()}))
