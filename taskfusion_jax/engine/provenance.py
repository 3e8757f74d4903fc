"""Where a number comes from: command, commit and hardware."""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import jax

import taskfusion_jax


def provenance() -> dict[str, str]:
    """The command, commit and hardware of this process."""
    main = sys.modules.get("__main__")
    module = getattr(getattr(main, "__spec__", None), "name", None)
    start = ["python", "-m", module] if module else ["python", sys.argv[0]]
    devices = jax.devices()
    return {
        "command": shlex.join([*start, *sys.argv[1:]]),
        "commit": _commit(),
        "hardware": f"{len(devices)} x {devices[0].device_kind}, {os.cpu_count()} CPU cores, "
        f"{platform.machine()}, jax {jax.__version__}",
    }


def _commit() -> str:
    """The commit of this code, `+` if files were changed since; its version where there is none."""
    root = Path(__file__).parents[2]

    def git(*words):
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return f"version {taskfusion_jax.__version__}"
