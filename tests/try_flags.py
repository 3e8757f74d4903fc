"""Parses command lines as a command does, and says what is wrong with each.

    python tests/try_flags.py VERB < lines.json

Reads a list of lists of words and writes a list of messages, "" where all is well. Every line is
parsed in a process of its own, as flags can be defined once only; nothing of JAX is started.
"""

import importlib
import json
import os
import sys

from absl import flags

from taskfusion_jax import cli


def parse(words: list[str]) -> str:
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


def alone(words: list[str]) -> str:
    """`parse` in a process of its own."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            message = pipe.read()
        return message.strip() or ("" if os.waitpid(child, 0)[1] == 0 else "failed")
    os.dup2(writing, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        code = os.write(2, message.encode()) if (message := parse(words)) else 0
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        code = os.write(2, repr(error).encode())
    os._exit(int(bool(code)))


if __name__ == "__main__":
    verb = sys.argv[1]
    package = verb in ("benchmark", "scaling")
    importlib.import_module(f"taskfusion_jax.{verb}" + ".__main__" * package)
    print(json.dumps([alone(words) for words in json.load(sys.stdin)]))
