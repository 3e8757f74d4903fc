"""Several processes, one program: how they find each other, agree, and notice a death."""

import os
import socket
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from taskfusion_jax.engine import peers
from taskfusion_jax.engine.mesh import replicated
from taskfusion_jax.errors import UserError

_HEARTBEAT_S = 60
"""After which JAX ends a process that lost its coordinator; `peers` is there much earlier."""


def initialize() -> None:
    """Joins the other processes; must come before anything is computed.

    With COORDINATOR_ADDRESS (host:port), NUM_PROCESSES and PROCESS_ID in the environment these
    count; without, JAX asks the cluster (TPU pods, Slurm, Open MPI, Kubernetes).

    Raises:
      UserError: the environment is incomplete, or there is no cluster, or nobody answers.
    """
    # JAX's own handler would take SIGTERM away from `StopRequest`.
    jax.config.update("jax_enable_preemption_service", False)
    address = os.environ.get("COORDINATOR_ADDRESS")
    given = {}
    if address:
        try:
            given = {
                "coordinator_address": address,
                "num_processes": int(os.environ["NUM_PROCESSES"]),
                "process_id": int(os.environ["PROCESS_ID"]),
                "cluster_detection_method": "deactivate",
            }
        except (KeyError, ValueError) as error:
            raise UserError(
                f"COORDINATOR_ADDRESS={address} needs NUM_PROCESSES and PROCESS_ID, both numbers, "
                f"in the environment too ({error!r})"
            ) from error
    try:
        jax.distributed.initialize(**given, heartbeat_timeout_seconds=_HEARTBEAT_S)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"--distributed: {str(error).splitlines()[0]}; set COORDINATOR_ADDRESS=HOST:PORT, "
            "NUM_PROCESSES and PROCESS_ID where the cluster is not found by itself"
        ) from error
    host = address.rsplit(":", 1)[0] if address else socket.gethostname()
    peers.watch(host, broadcast)


def is_main() -> bool:
    """Whether this process writes files and speaks; the others only compute."""
    return jax.process_index() == 0


def broadcast(text: str) -> str:
    """The main process's text, in every process."""
    if jax.process_count() == 1:
        return text
    length = multihost_utils.broadcast_one_to_all(np.int32(len(text.encode())))
    content = np.zeros(int(length), np.uint8)
    if is_main():
        content[:] = np.frombuffer(text.encode(), np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(content)).tobytes().decode()


def on_main(act: Callable[[], Any]) -> None:
    """Does something in the main process while the others wait.

    Raises:
      UserError: in every process, where the main one raised it.
    """
    problem = ""
    if is_main():
        try:
            act()
        except UserError as error:
            problem = str(error)
    if problem := broadcast(problem):
        raise UserError(problem)


class Agreement:
    """Lets all processes learn in the same step that one of them was asked to stop.

    They learn it one call later, so that no device waits for an answer.
    """

    def __init__(self, mesh: Mesh):
        """mesh: over all devices of all processes."""
        self._each = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._any = jax.jit(lambda asked: asked.any(), out_shardings=replicated(mesh))
        self._answer: Any = False

    def __call__(self, asked: bool) -> bool:
        """Whether any process had been asked by the call before this one."""
        if jax.process_count() == 1:
            return asked
        answer = bool(jax.device_get(self._answer))
        local = np.full(jax.local_device_count(), asked)
        self._answer = self._any(jax.make_array_from_process_local_data(self._each, local))
        return answer
