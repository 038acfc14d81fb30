"""A TCP proxy before central that does to connections what bad links do."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass

_CHUNK_BYTES = 4096
_REPLAY_WAIT_SECONDS = 5


@dataclass(frozen=True)
class Fault:
    """`kind`: pass, refuse, cut_request, cut_reply, lose_reply, delay, duplicate or late. `after_bytes` of a cut."""

    kind: str
    after_bytes: int = 0
    seconds: float = 0.0


KINDS = ("refuse", "cut_request", "cut_reply", "lose_reply", "delay", "duplicate", "late")


class FaultyProxy:
    """Listens on a free port and forwards to `target_port`; while `rate` > 0, so many of its connections suffer.

    `duplicate` sends a whole request a second time on a connection of its own once the first is done, `late`
    sends it again only after later requests have overtaken it.
    """

    def __init__(self, target_port: int, rng: random.Random) -> None:
        self.rate = 0.0
        self.suffered: Counter[str] = Counter()
        self._target_port = target_port
        self._rng = rng
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._late: list[bytes] = []
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._start(self._accept)

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(timeout=_REPLAY_WAIT_SECONDS + 5)

    def deliver_late(self) -> None:
        """Now come the requests that were held back to be overtaken."""
        late, self._late = self._late, []
        self._rng.shuffle(late)
        for request in late:
            self._replay(request)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._start(self._serve, client, self._choose())

    def _choose(self) -> Fault:
        if self._rng.random() >= self.rate:
            return Fault("pass")
        kind = self._rng.choice(KINDS)
        self.suffered[kind] += 1
        return Fault(kind, after_bytes=self._rng.randrange(1, 8000), seconds=self._rng.uniform(0.01, 0.3))

    def _serve(self, client: socket.socket, fault: Fault) -> None:
        with client, contextlib.ExitStack() as stack:
            if fault.kind == "refuse":
                _reset(client)
                return
            if fault.kind == "delay":
                time.sleep(fault.seconds)
            try:
                central = stack.enter_context(socket.create_connection(("127.0.0.1", self._target_port), timeout=60))
            except OSError:
                _reset(client)
                return
            recorded = bytearray()
            limit = fault.after_bytes if fault.kind == "cut_request" else None
            back_limit = {"cut_reply": fault.after_bytes % 200, "lose_reply": 0}.get(fault.kind)
            forth = threading.Thread(target=_pump, args=(client, central, limit, recorded), daemon=True)
            forth.start()
            _pump(central, client, back_limit, None)
            forth.join()
        if fault.kind == "duplicate":
            self._replay(bytes(recorded))
        elif fault.kind == "late":
            self._late.append(bytes(recorded))

    def _replay(self, request: bytes) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            address = ("127.0.0.1", self._target_port)
            central = stack.enter_context(socket.create_connection(address, timeout=_REPLAY_WAIT_SECONDS))
            central.sendall(request)
            central.shutdown(socket.SHUT_WR)
            while central.recv(_CHUNK_BYTES):
                pass


def _pump(source: socket.socket, sink: socket.socket, limit: int | None, record: bytearray | None) -> None:
    """Forwards until one side ends, or `limit` bytes went through: then both connections break."""
    done = 0
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            if record is not None:
                record += data
            if limit is not None and done + len(data) > limit:
                sink.sendall(data[: limit - done])
                _reset(source)
                _reset(sink)
                return
            sink.sendall(data)
            done += len(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    """Breaks a connection as a dead link does: no word of goodbye."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.shutdown(socket.SHUT_RDWR)
