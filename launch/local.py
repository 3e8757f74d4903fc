#!/usr/bin/env python3
"""Starts one run as several processes on this machine: to try it out, or for a machine's GPUs.

    python launch/local.py --processes=2 --devices=4 -- \\
        --config=configs/quickstart.py --workdir=runs/two
    python launch/local.py --processes=4 --gpus=0,1,2,3 -- --config=... --workdir=...

What follows `--` goes to `python -m taskfusion_jax.main --distributed`. Every line of output gets
the number of its process: `[0] `. Ctrl-C and SIGTERM ask all processes to save and stop; a second
one kills them. When one fails, the others have a minute to leave by themselves. The exit code is
the first that was not 0.
"""

import argparse
import math
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

_POLL = 0.05  # seconds
_PATIENCE = 10.0  # seconds between SIGTERM and SIGKILL, for processes that had their grace


class Parser(argparse.ArgumentParser):
    """Tells mistakes in one line, as all commands of the project do."""

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message}; --help explains the flags\n")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; `arguments` holds what follows `--`."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--devices", type=int, default=1, help="virtual CPU devices per process")
    parser.add_argument("--gpus", help="numbers of the GPUs that the processes share out: 0,1,2,3")
    parser.add_argument("--port", type=int, default=0, help="of process 0; 0 = one that is free")
    parser.add_argument("--grace", type=float, default=60, help="seconds to leave after a failure")
    parser.add_argument("--module", default="taskfusion_jax.main", help="what every process runs")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, start nothing")
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENTS", help="of the module")
    options = parser.parse_args(argv)
    if options.processes < 1 or options.devices < 1:
        parser.error("--processes and --devices count from 1")
    if options.gpus is not None:
        options.gpus = options.gpus.split(",")
        if len(options.gpus) % options.processes:
            parser.error(
                f"{len(options.gpus)} GPUs cannot be divided among {options.processes} processes"
            )
    return options


def environment(process: int, options: argparse.Namespace, port: int) -> dict[str, str]:
    """The variables that make a process number `process` of the run, beyond those it inherits."""
    variables = {
        "COORDINATOR_ADDRESS": f"localhost:{port}",
        "NUM_PROCESSES": str(options.processes),
        "PROCESS_ID": str(process),
        "PYTHONUNBUFFERED": "1",
    }
    if options.gpus is not None:
        share = len(options.gpus) // options.processes
        mine = options.gpus[process * share : (process + 1) * share]
        return variables | {"CUDA_VISIBLE_DEVICES": ",".join(mine)}
    # JAX refuses to be told the number of devices twice.
    flags = re.sub(r"--xla_force_host_platform_device_count=\S*", "", os.getenv("XLA_FLAGS", ""))
    devices = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(options.devices)}
    return variables | devices | {"XLA_FLAGS": flags.strip()}


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


class Run:
    """The processes of one run."""

    def __init__(self, commands: Sequence[tuple[Sequence[str], dict[str, str]]]):
        """Starts (words, variables) each, in a session of its own: Ctrl-C reaches only us."""
        self._lock = threading.Lock()
        self._stopping = False
        self.processes = [
            subprocess.Popen(
                words,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            for words, variables in commands
        ]
        self._readers = [
            threading.Thread(target=self._read, args=(i, process), daemon=True)
            for i, process in enumerate(self.processes)
        ]
        for reader in self._readers:
            reader.start()

    def stop(self, *_: object) -> None:
        """Asks all processes to stop; the second time there is no asking. A signal handler."""
        self._send(signal.SIGKILL if self._stopping else signal.SIGTERM)
        self._stopping = True

    def wait(self, grace: float) -> int:
        """Waits for all to end. After a failure the others have `grace` seconds.

        Returns:
          The first exit code that was not 0 (128 + the signal for a process that one ended), or 0.
        """
        first, ended, failed_at = 0, set(), math.inf
        measures = [(grace, signal.SIGTERM), (grace + _PATIENCE, signal.SIGKILL)]
        while len(ended) < len(self.processes):
            for i, process in enumerate(self.processes):
                code = process.poll()
                if code is None or i in ended:
                    continue
                ended.add(i)
                code = 128 - code if code < 0 else code
                if code:
                    self._print(f"[launch] process {i} ended with code {code}")
                if code and not first:
                    first, failed_at = code, time.monotonic()
            while measures and time.monotonic() - failed_at > measures[0][0]:
                self._send(measures.pop(0)[1])
            time.sleep(_POLL)
        for reader in self._readers:
            reader.join(_PATIENCE)  # a grandchild may hold the pipe open for ever
        return first

    def _send(self, number: signal.Signals) -> None:
        for process in self.processes:
            if process.poll() is not None:
                continue
            if number == signal.SIGKILL:  # its own data workers too
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    def _read(self, index: int, process: subprocess.Popen) -> None:
        for line in process.stdout:
            self._print(f"[{index}] {line.rstrip()}")

    def _print(self, line: str) -> None:
        with self._lock:
            print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the processes, or prints how. Returns the exit code."""
    options = parse(argv)
    port = options.port or free_port()
    words = [sys.executable, "-m", options.module, "--distributed", *options.arguments]
    commands = [(words, environment(i, options, port)) for i in range(options.processes)]
    if options.dry_run:
        for words, variables in commands:
            assigned = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
            print(" ".join(assigned), shlex.join(words))
        return 0
    run = Run(commands)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, run.stop)
    return run.wait(options.grace)


if __name__ == "__main__":
    sys.exit(main())
