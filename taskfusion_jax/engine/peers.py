"""Notices within seconds that another process died, and leaves with a clear line.

Every process keeps a connection to the main one. Who leaves in good order says so first; where a
connection ends without that word, its process is dead, and those who wait for it in a collective
would wait for ever. JAX's own heartbeat takes a minute and ends in a page of C++ frames.
"""

import contextlib
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable

import jax

from taskfusion_jax.errors import UserError

PEER_DIED = 75
"""Exit code (EX_TEMPFAIL): start the same command again on all hosts."""
_GOODBYE, _FAILED = b"goodbye", b"failed!"  # of one length
_TIMEOUT_S = 60
_PATIENCE_S = 5
_connections: list[socket.socket] = []
_listeners: list[threading.Thread] = []
_leaving = threading.Event()


def watch(host: str, broadcast: Callable[[str], str]) -> None:
    """Connects every process with the main one and watches the connections.

    Args:
      host: where the main process can be reached.
      broadcast: gives every process the main one's text.

    Raises:
      UserError: no connection within a minute.
    """
    if jax.process_count() == 1:
        return
    try:
        if jax.process_index() == 0:
            _gather(host, broadcast)
        else:
            _join(*broadcast("").split())
    except OSError as error:
        raise UserError(
            f"--distributed: process {jax.process_index()} found the others, but has no connection "
            f"to watch them ({error}); give COORDINATOR_ADDRESS as a host name that all can reach"
        ) from error


def _gather(host: str, broadcast: Callable[[str], str]) -> None:
    """Waits until every other process has connected and shown the token; strangers are ignored."""
    token = secrets.token_hex(8)
    waiting = set(range(1, jax.process_count()))
    with socket.create_server(("", 0), backlog=jax.process_count()) as server:
        server.settimeout(_TIMEOUT_S)
        broadcast(f"{host} {server.getsockname()[1]} {token}")
        while waiting:
            connection, _ = server.accept()
            connection.settimeout(_PATIENCE_S)
            greeting = _receive(connection, len(token) + 4)
            index = int.from_bytes(greeting[len(token) :])
            if greeting[: len(token)] == token.encode() and index in waiting:
                waiting.remove(index)
                _follow(connection, f"process {index}")
            else:
                connection.close()


def _join(address: str, port: str, token: str) -> None:
    connection = socket.create_connection((address, int(port)), timeout=_TIMEOUT_S)
    connection.sendall(token.encode() + jax.process_index().to_bytes(4))
    _follow(connection, "process 0")


def _follow(connection: socket.socket, name: str) -> None:
    connection.settimeout(None)
    # A machine that lost its power sends nothing: ask after 10 s, give up 30 s later.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    _connections.append(connection)
    _listeners.append(threading.Thread(target=_listen, args=(connection, name), daemon=True))
    _listeners[-1].start()


def _receive(connection: socket.socket, count: int) -> bytes:
    """Up to `count` bytes, fewer where the connection ends."""
    received = b""
    with contextlib.suppress(OSError):
        while len(received) < count and (more := connection.recv(count - len(received))):
            received += more
    return received


def _listen(connection: socket.socket, name: str) -> None:
    word = _receive(connection, len(_GOODBYE))
    # What failed there may fail here too, and then its own message is the better one.
    if word == _GOODBYE or _leaving.wait(_PATIENCE_S if word == _FAILED else 0):
        return
    fate = "failed" if word == _FAILED else "died or lost its connection"
    print(
        f"error: {name} {fate}, so process {jax.process_index()} leaves too; start the same "
        "command again on all hosts to go on from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    _exit(PEER_DIED)  # the main thread may hang in a collective for ever


def leave(code: int, failed: bool) -> None:
    """Ends this process's part in good order, or, where it failed, ends the process.

    JAX's own shutdown would wait for processes that wait for this one.

    Args:
      code: exit code of the process.
      failed: the others do not end too, unless they are told.
    """
    if jax.process_count() == 1:
        return
    _leaving.set()
    for connection in _connections:
        with contextlib.suppress(OSError):
            connection.sendall(_FAILED if failed else _GOODBYE)
    if failed:
        if jax.process_index() == 0:  # JAX's service is here; without it others end in C++ frames
            for listener in _listeners:
                listener.join(_PATIENCE_S + 2)
        _exit(code)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
