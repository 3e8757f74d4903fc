"""What all commands share: their flags, and errors as one line."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from taskfusion_jax.errors import UserError, did_you_mean

USER_ERROR = 2
"""Exit code where the user can mend what is wrong."""


def define_config() -> flags.FlagHolder:
    """Adds `--config=FILE.py[:ARG]`; every field of the config is a flag too (--config.seed=1)."""
    return config_flags.DEFINE_config_file(
        "config", None, "Python file with the config: configs/quickstart.py or FILE.py:ARGUMENT."
    )


def define_workdir() -> flags.FlagHolder:
    """Adds `--workdir=DIR`."""
    return flags.DEFINE_string(
        "workdir", None, "Folder of the run: checkpoints, metrics, results, figures, report."
    )


def required(holder: flags.FlagHolder):
    """The value of a flag. Raises UserError where it was not given."""
    if holder.value is None:
        raise UserError(f"--{holder.name} is missing; --help explains it")
    return holder.value


def run(main: Callable[[], int | None]) -> None:
    """Parses flags, runs `main()` and exits; whatever the user can mend is one line and code 2."""

    def guarded(argv: Sequence[str]) -> int | None:
        if len(argv) > 1:
            return _complain(f"'{argv[1]}' is no flag; flags look like --workdir=DIR")
        try:
            return main()
        except UserError as error:
            return _complain(str(error))

    logging.set_verbosity(logging.WARNING)  # libraries tell every save and thread otherwise
    app.run(guarded, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except Exception as error:  # configs are code: whatever they raise is told in one line
        sys.exit(_complain(_flag_error(argv, error)))


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return USER_ERROR


def _flag_error(argv: list[str], error: Exception) -> str:
    path = next((a.partition("=")[2] for a in argv if a.startswith("--config=")), "")
    file = Path(path.partition(":")[0])
    if path and not file.is_file():
        return f"--config={path}: there is no file {file}"
    if isinstance(error, flags.UnrecognizedFlagError):
        return f"no flag --{error.flagname}{did_you_mean(error.flagname, flags.FLAGS)}"
    unknown = _unknown_field(argv) if path else None
    if unknown:
        return unknown
    reason = " ".join(str(error).split())
    return reason if isinstance(error, UserError | flags.Error) else f"--config={path}: {reason}"


def _unknown_field(argv: list[str]) -> str | None:
    """Looks for an override of a field that the config does not have."""
    config = flags.FLAGS["config"].value
    for word in argv:
        name = word.partition("=")[0]
        if not name.startswith("--config.") or not isinstance(config, ConfigDict):
            continue
        node, done = config, "config"
        for key in name.removeprefix("--config.").split("."):
            if not isinstance(node, ConfigDict) or key not in node:
                known = list(node) if isinstance(node, ConfigDict) else []
                return f"{done} has no field '{key}'{did_you_mean(key, known)}"
            node, done = node[key], f"{done}.{key}"
    return None
