"""What all commands share: their flags, and errors as one line."""

import importlib.util
import logging as python_logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from taskfusion_jax.errors import OUT_OF_ROOM, UserError, did_you_mean

USER_ERROR = 2
"""Exit code where the user can mend what is wrong."""


def define_config() -> flags.FlagHolder | flags.Flag:
    """Adds `--config=FILE.py[:ARG]`; every field of the config is a flag too (--config.seed=1)."""
    if "config" in flags.FLAGS:  # two commands imported into one process share it
        return flags.FLAGS["config"]
    return config_flags.DEFINE_config_file(
        "config", None, "Python file with the config: configs/quickstart.py or FILE.py:ARGUMENT."
    )


def define_workdir() -> flags.FlagHolder | flags.Flag:
    """Adds `--workdir=DIR`."""
    if "workdir" in flags.FLAGS:
        return flags.FLAGS["workdir"]
    return flags.DEFINE_string(
        "workdir", None, "Folder of the run: checkpoints, metrics, results, figures, report."
    )


def required(holder: flags.FlagHolder):
    """The value of a flag. Raises UserError where it was not given, or is empty."""
    if holder.value in (None, ""):
        raise UserError(f"--{holder.name} is missing; --help explains it")
    if holder.name == "config" and not isinstance(holder.value, ConfigDict):
        raise UserError(_flag_error(sys.argv, TypeError("get_config() returns no ConfigDict")))
    return holder.value


_at_exit: list[Callable[[int, bool], None]] = []


def at_exit(act: Callable[[int, bool], None]) -> None:
    """`act(exit code, failed)` is called when the command ends, after all messages."""
    _at_exit.append(act)


def run(main: Callable[[], int | None]) -> None:
    """Parses flags, runs `main()` and exits; whatever the user can mend is one line and code 2."""

    def guarded(argv: Sequence[str]) -> int | None:
        code, failed = None, True
        try:
            if len(argv) > 1:
                raise UserError(f"'{argv[1]}' is no flag; flags look like --workdir=DIR")
            code, failed = main(), False
        except UserError as error:
            code = _complain(str(error))
        except KeyboardInterrupt:
            code = _complain("interrupted", 130)
        except OSError as error:
            if error.errno not in OUT_OF_ROOM:
                raise
            code = _complain(f"{error}; free some space and run the same command again")
        finally:
            if failed and code is None and _at_exit:
                traceback.print_exc()  # as the process may end here
            for act in _at_exit:
                act(code or int(failed), failed)
        return code

    for name in ("config", "workdir"):  # --help shows only what counts as the command's own
        if name in flags.FLAGS:
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    _mute_libraries()
    app.run(guarded, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS([argv[0], *map(_underscored, argv[1:])])
    except SystemExit:  # after --help, which absl thinks a failure
        sys.exit(0)
    except Exception as error:  # configs are code: whatever they raise is told in one line
        sys.exit(_complain(_flag_error(argv, error)))


def _underscored(word: str) -> str:
    """--list-tasks as --list_tasks, for people used to dashes."""
    name, equals, value = word.partition("=")
    known = name.removeprefix("--").replace("-", "_")
    return f"--{known}{equals}{value}" if name.startswith("--") and known in flags.FLAGS else word


def _mute_libraries() -> None:
    """Orbax logs every save and thread, and its threads print pages after a failed one, which is
    raised and told in one line anyway."""
    logging.set_verbosity(logging.WARNING)
    for name in ("absl", "asyncio"):
        python_logging.getLogger(name).disabled = True
    report = sys.unraisablehook

    def report_others(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    sys.unraisablehook = report_others


def _complain(message: str, code: int = USER_ERROR) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _flag_error(argv: Sequence[str], error: Exception) -> str:
    """What is wrong with the flags, in one line; absl's own words are for programmers."""
    if isinstance(error, flags.UnrecognizedFlagError) and not error.flagname.startswith("config."):
        return f"no flag --{error.flagname}{did_you_mean(error.flagname, flags.FLAGS)}"
    words = dict(word.partition("=")[::2] for word in argv)
    path = words.get("--config")
    if path:
        try:
            config = _load(path)
        except Exception as problem:  # configs are code
            return f"--config={path}: {problem}"
        for name, text in words.items():
            if name.startswith("--config."):
                wrong = _wrong_override(config, name, text, str(error))
                if wrong:
                    return wrong
    return (
        f"--config={path}: {error}" if path and not isinstance(error, flags.Error) else str(error)
    )


def _load(path: str):
    """Runs the config file as the flag does, but lets its errors through."""
    file, colon, argument = path.partition(":")
    if not Path(file).is_file():
        raise UserError(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location("config", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*([argument] if colon else []))


def _wrong_override(config: ConfigDict, name: str, text: str, error: str) -> str | None:
    """Whether `name`=`text` names a field that is not there, or gives it what it cannot take."""
    node, done = config, "config"
    for key in name.removeprefix("--config.").split("."):
        if not isinstance(node, ConfigDict) or key not in node:
            known = list(node) if isinstance(node, ConfigDict) else []
            return f"{done} has no field '{key}'{did_you_mean(key, known)}"
        node, done = node[key], f"{done}.{key}"
    if f"{name}={text}".removeprefix("--") in error:
        kind = "a table of fields" if isinstance(node, ConfigDict) else type(node).__name__
        example = "" if isinstance(node, ConfigDict) else f", such as {node!r}"
        return f"{name}={text}: this field takes {kind}{example}"
    return None
