"""Carries connections to a free port of this machine on to an address behind an SSH host."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

import paramiko

from pusher.config import Location
from pusher.errors import PusherError
from pusher.log import event
from pusher.transport.hostkeys import KnownHosts
from pusher.transport.route import route
from pusher.transport.ssh import Note, hang_up, open_channel, signed_in, ssh_config

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 16
_KEEPALIVE_SECONDS = 15.0
_SILENCE_SECONDS = 45.0
_END_SECONDS = 5

OpenChannel = Callable[[], paramiko.Channel]


@contextmanager
def tunnel(location: Location, address: tuple[str, int], *, accept_host_keys: bool, note: Note) -> Iterator[Tunnel]:
    """A way to `address`, as the SSH host of `location` sees it; `note` is told of the key of each host on the way.

    Raises AccessRefused, CentralUnreachable or ConfigError, also if the SSH host cannot reach `address`.
    """
    hops = route(location, ssh_config(location.sshfolder))
    known_hosts = KnownHosts(location.sshfolder)
    with (
        signed_in(hops, known_hosts, accept_host_keys=accept_host_keys, note=note) as transport,
        closing(Tunnel(transport, lambda: open_channel(transport, hops[-1], address))) as way,
    ):
        yield way


class Tunnel:
    """Listens on `port` of the loopback interface; counts the bytes that were carried each way.

    The first channel is opened at once, so that a wrong address shows itself by name, and serves the first connection.
    """

    def __init__(self, transport: paramiko.Transport, open_channel: OpenChannel) -> None:
        self.bytes_sent = 0
        self.bytes_received = 0
        self._transport = transport
        self._open_channel = open_channel
        self._spare = [open_channel()]
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._threads = [_thread(f"tunnel-{self.port}", work) for work in (self._accept, self._watch)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Cuts whatever is still open: nobody stays waiting, and no thread or socket is left."""
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        hang_up(self._transport)  # wakes who waits for a channel, or at one
        for thread in self._threads:
            thread.join(_END_SECONDS)
        with self._lock:
            open_ones = list(self._connections)
        for connection in open_ones:
            connection.cut()
        for connection in open_ones:
            connection.thread.join(_END_SECONDS)

    def _accept(self) -> None:
        with self._listener:
            while True:
                try:
                    local, _ = self._listener.accept()
                except OSError:
                    return
                connection = _Connection(self, local)
                with self._lock:
                    self._connections.add(connection)
                connection.thread.start()

    def _watch(self) -> None:
        """Asks the SSH host now and then whether it is still there. If it has no answer, all connections are cut: the
        drivers of databases would wait for ever."""
        while not self._closing.wait(_KEEPALIVE_SECONDS):
            limit = threading.Timer(_SILENCE_SECONDS, hang_up, [self._transport])
            limit.daemon = True
            limit.start()
            with suppress(OSError, paramiko.SSHException, EOFError):
                self._transport.global_request("keepalive@openssh.com", wait=True)
            limit.cancel()
            limit.join()

    def channel(self) -> paramiko.Channel:
        with self._lock:
            if self._spare:
                return self._spare.pop()
        return self._open_channel()

    def count(self, sent: int, received: int) -> None:
        with self._lock:
            self.bytes_sent += sent
            self.bytes_received += received

    def forget(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Connection:
    """One connection: a thread carries what goes out, a second one what comes back."""

    def __init__(self, way: Tunnel, local: socket.socket) -> None:
        self._way = way
        self._local = local
        self.thread = _thread(f"tunnel-{way.port}-out", self._run)

    def cut(self) -> None:
        with suppress(OSError):
            self._local.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            with self._local:
                with suppress(OSError):
                    self._local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    channel = self._way.channel()
                except PusherError as error:
                    # Whoever connected sees the connection end, and raises what that means to it.
                    log.debug(event("tunnel_refused", error=error))
                    return
                back = _thread(f"tunnel-{self._way.port}-in", partial(self._carry_back, channel))
                back.start()
                self._carry_out(channel)
                back.join()
                hang_up(channel)
        finally:
            self._way.forget(self)

    def _carry_out(self, channel: paramiko.Channel) -> None:
        try:
            while chunk := self._local.recv(_CHUNK_BYTES):
                channel.sendall(chunk)
                self._way.count(len(chunk), 0)
            channel.shutdown_write()
        except (OSError, paramiko.SSHException, EOFError):
            hang_up(channel)  # which also ends the way back

    def _carry_back(self, channel: paramiko.Channel) -> None:
        try:
            while chunk := channel.recv(_CHUNK_BYTES):
                self._local.sendall(chunk)
                self._way.count(0, len(chunk))
            # The other side may have said its last word and still be listening, unless all of it is gone.
            self._local.shutdown(socket.SHUT_RDWR if channel.closed else socket.SHUT_WR)
        except (OSError, paramiko.SSHException, EOFError):
            hang_up(channel)
            self.cut()


def _thread(name: str, work: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=work, name=name, daemon=True)  # none holds up the end of the process
