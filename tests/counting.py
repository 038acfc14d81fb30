"""A TCP proxy on the loopback interface that counts what goes through it."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

_CHUNK_BYTES = 64 << 10


class CountingProxy:
    """Forwards to `target_port`. `sent`, `received`: the bytes of the streams, with all headers of HTTP, in all.
    `cut_at`: of so many bytes sent the connection of that moment is cut, once for each."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._lock = threading.Lock()
        self.sent = 0
        self.received = 0
        self.cut_at: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> CountingProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    @property
    def total(self) -> int:
        with self._lock:
            return self.sent + self.received

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target_port)) as target:
            for each in (client, target):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._pump, args=(target, client, False), daemon=True)
            back.start()
            self._pump(client, target, True)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, forth: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                if self._counts(len(chunk), forth):
                    source.shutdown(socket.SHUT_RDWR)
                    break
                sink.sendall(chunk)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _counts(self, size: int, forth: bool) -> bool:
        """Whether the connection is to be cut here."""
        with self._lock:
            if not forth:
                self.received += size
                return False
            self.sent += size
            cut = bool(self.cut_at) and self.sent >= self.cut_at[0]
            if cut:
                del self.cut_at[0]
            return cut
