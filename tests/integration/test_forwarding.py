"""The tunnel itself: signing in at SSH hosts, many connections at once, and an end to all of them."""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.server import InteractiveQuery

from pusher.config import Location, Secret
from pusher.errors import AccessRefused, CentralUnreachable
from pusher.transport.rest import RestCentral
from pusher.transport.tunnel import Tunnel, tunnel
from pusher.wire.messages import Hello
from tests.leftovers import nothing_left_open
from tests.servers import SshServer, free_port, new_ssh_key
from tests.stage import pusher, wait_until

# What a connection's first byte asks for. In a process of its own, so that what it leaves open is not ours.
_FAR_END = """
import socketserver, time
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        wish = self.request.recv(1)
        if wish == b"e":  # all of it back, once it has ended
            text = b"".join(iter(lambda: self.request.recv(65536), b""))
            self.request.sendall(text)
        elif wish == b"f":  # more than anybody takes
            while True:
                self.request.sendall(bytes(65536))
        else:  # never a word, and no ear
            time.sleep(60)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    def handle_error(self, *_):
        pass
with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


@pytest.fixture(scope="module")
def far_end() -> Iterator[tuple[str, int]]:
    with subprocess.Popen([sys.executable, "-c", _FAR_END], stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield "127.0.0.1", int(process.stdout.readline())
        process.kill()


@pytest.fixture
def sshd(monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with SshServer() as server:
        yield server


def location(sshd: SshServer, **changes: Any) -> Location:
    usual = Location(name="lab", on=True, kind="push", url="127.0.0.1", sshport=sshd.port, sshfolder=sshd.clients)
    return replace(usual, **{"sshkey": "id_ed25519"} | changes)


def tunnel_to(where: Location, address: tuple[str, int]) -> AbstractContextManager[Tunnel]:
    return tunnel(where, address, accept_host_keys=False, note=lambda _: None)


@contextmanager
def way(where: Location, address: tuple[str, int]) -> Iterator[Tunnel]:
    with nothing_left_open(), tunnel_to(where, address) as opened:
        yield opened


def call(port: int, wish: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(wish)
    return connection


def echo(port: int, text: bytes) -> bytes:
    with call(port, b"e") as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


# --- connections ---


def test_many_connections_at_once(sshd: SshServer, far_end: tuple[str, int]) -> None:
    texts = [os.urandom(1_000_000 + number) for number in range(8)]
    with way(location(sshd), far_end) as opened, ThreadPoolExecutor(max_workers=8) as pool:
        assert list(pool.map(lambda text: echo(opened.port, text), texts)) == texts
        total = sum(map(len, texts))
        assert (opened.bytes_sent, opened.bytes_received) == (total + 8, total)


def test_one_that_takes_nothing_does_not_hold_up_another(sshd: SshServer, far_end: tuple[str, int]) -> None:
    with way(location(sshd), far_end) as opened, call(opened.port, b"f"):
        received = -1
        while received != opened.bytes_received:  # until all is full on the way
            received = opened.bytes_received
            time.sleep(0.3)
        assert received > 0
        assert echo(opened.port, b"hello") == b"hello"


def _never_answered(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def _never_read(connection: socket.socket) -> None:
    while True:
        connection.sendall(bytes(1 << 16))


def _answer_to_a_new_connection(port: int) -> bytes:
    try:
        return echo(port, b"hello")
    except OSError:
        return b""


@pytest.mark.parametrize("end", ["closed", "cut"])
@pytest.mark.parametrize(("wish", "block"), [(b"s", _never_answered), (b"s", _never_read), (b"f", _never_answered)])
def test_whoever_waits_is_woken(
    sshd: SshServer, far_end: tuple[str, int], wish: bytes, block: Callable[[socket.socket], None], end: str
) -> None:
    def wait(connection: socket.socket) -> None:
        try:
            block(connection)
        except TimeoutError:
            woken.append("too late")
        except OSError:
            woken.append("reset")
        else:
            woken.append("ended")

    woken: list[str] = []
    with nothing_left_open():
        with tunnel_to(location(sshd), far_end) as opened:
            connection = call(opened.port, wish)
            waiting = threading.Thread(target=wait, args=(connection,))
            waiting.start()
            time.sleep(0.5)
            assert not woken
            if end == "cut":
                sshd.cut()
                wait_until(lambda: woken, 5)
                assert _answer_to_a_new_connection(opened.port) == b""
            closing_began = time.monotonic()
        assert time.monotonic() - closing_began < 3
        waiting.join()
        connection.close()
        assert woken in (["ended"], ["reset"])
        with pytest.raises(ConnectionRefusedError):
            call(opened.port, b"e")


def test_a_host_that_falls_silent_is_given_up(
    sshd: SshServer, far_end: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pusher.transport.tunnel._KEEPALIVE_SECONDS", 0.1)
    monkeypatch.setattr("pusher.transport.tunnel._SILENCE_SECONDS", 1)
    with way(location(sshd), far_end) as opened, call(opened.port, b"s") as connection:
        connection.settimeout(2)
        with pytest.raises(TimeoutError):  # it is asked many times, and answers
            connection.recv(1)
        sshd.freeze()
        connection.settimeout(5)
        assert connection.recv(1) == b""


def test_a_jump_host_that_is_cut(sshd: SshServer, far_end: tuple[str, int]) -> None:
    with SshServer() as gate:
        gate.authorize(sshd.clients / "id_ed25519.pub")
        with (sshd.clients / "known_hosts").open("a") as known:
            known.write((gate.clients / "known_hosts").read_text())
        jump = f"{getpass.getuser()}@127.0.0.1:{gate.port}"
        (sshd.clients / "config").write_text(f"Host inner\n HostName 127.0.0.1\n ProxyJump {jump}\n")
        with way(location(sshd, url="inner"), far_end) as opened, call(opened.port, b"s") as connection:
            gate.cut()
            try:
                assert connection.recv(1) == b""
            except ConnectionResetError:
                pass


def test_the_first_channel_serves_the_first_connection(sshd: SshServer) -> None:
    """A database counts a connection that says nothing as an attack."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(5)
        with way(location(sshd), listener.getsockname()) as opened, call(opened.port, b"x"):
            first, _ = listener.accept()
            with first:
                assert first.recv(1) == b"x"
            listener.settimeout(0.2)
            with pytest.raises(TimeoutError):
                listener.accept()


# --- signing in ---


def refusal(where: Location, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught, way(where, ("127.0.0.1", 1)):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_an_encrypted_key_takes_its_passphrase(sshd: SshServer, far_end: tuple[str, int], kind: str) -> None:
    key = new_ssh_key(sshd.clients / "locked", kind, "open sesame")
    sshd.authorize(key.with_suffix(".pub"))
    assert f"{key} is encrypted" in refusal(location(sshd, sshkey="locked"), AccessRefused)
    wrong = refusal(location(sshd, sshkey="locked", sshpassword=Secret("open barley")), AccessRefused)
    assert "sshpassword is not its passphrase" in wrong and "barley" not in wrong
    with way(location(sshd, sshkey="locked", sshpassword=Secret("open sesame")), far_end) as opened:
        assert echo(opened.port, b"hello") == b"hello"


@pytest.fixture
def agent(tmp_path: Path, sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], object]]:
    """An SSH agent; the function gives it a key."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL) as process:
        wait_until((tmp_path / "agent").exists)
        yield lambda key: subprocess.run(["ssh-add", "-q", str(key)], check=True)
        process.terminate()


@pytest.mark.parametrize("sshkey", ["held", "held.pub", None])
def test_the_agent_holds_the_key(
    sshd: SshServer, far_end: tuple[str, int], agent: Callable[[Path], object], sshkey: str | None
) -> None:
    held = new_ssh_key(sshd.clients / "held")
    sshd.authorize(held.with_suffix(".pub"))
    (sshd.clients / "id_ed25519").unlink()
    agent(new_ssh_key(sshd.folder / "other"))
    agent(held)
    held.unlink()
    with way(location(sshd, sshkey=sshkey), far_end) as opened:
        assert echo(opened.port, b"hello") == b"hello"


def test_without_sshkey_the_usual_files_are_tried(sshd: SshServer, far_end: tuple[str, int]) -> None:
    (sshd.clients / "id_ed25519").rename(sshd.clients / "id_rsa")
    (sshd.clients / "id_ecdsa").write_text("this is no key")
    with way(location(sshd, sshkey=None), far_end) as opened:
        assert echo(opened.port, b"hello") == b"hello"
    (sshd.clients / "id_rsa").unlink()
    assert "no key to show to SSH host 127.0.0.1" in refusal(location(sshd, sshkey=None), AccessRefused)


class _PasswordHost(paramiko.ServerInterface):
    """sshd asks PAM or the system's own list of users for passwords, so this host is paramiko's."""

    def __init__(self, method: str) -> None:
        self._method = method

    def get_allowed_auths(self, username: str) -> str:
        return self._method

    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == ("dang", "swordfish") and self._method == "password"
        return AUTH_SUCCESSFUL if right else AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return AUTH_SUCCESSFUL if responses == ["swordfish"] else AUTH_FAILED

    def check_channel_direct_tcpip_request(self, chanid: int, origin: tuple[str, int], target: tuple[str, int]) -> int:
        return OPEN_SUCCEEDED


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_password(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = paramiko.Ed25519Key.from_private_key_file(str(new_ssh_key(tmp_path / "host")))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        usual = Location(name="lab", on=True, kind="push", url="127.0.0.1", sshport=port, sshfolder=tmp_path)

        def serve() -> None:
            with listener.accept()[0] as connection, closing(paramiko.Transport(connection)) as host:
                host.add_server_key(key)
                host.start_server(event=threading.Event(), server=_PasswordHost(method))
                host.join()

        for password, user, accepted in (("swordfish", "dang", True), ("herring", "dang", False)):
            thread = threading.Thread(target=serve)
            thread.start()
            where = replace(usual, sshuser=user, sshpassword=Secret(password))
            if accepted:
                with tunnel_to(where, ("127.0.0.1", 1)):
                    pass
            else:
                with pytest.raises(AccessRefused, match="does not let user dang in with the password;"):
                    tunnel_to(where, ("127.0.0.1", 1)).__enter__()
            thread.join()


# --- what is no SSH host ---


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """A server that says `words` and hangs up."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(words)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1 << 16)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


_NO_SSH_HOST = (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-hangs_up\r\n")


@pytest.mark.parametrize("words", _NO_SSH_HOST)
def test_what_is_no_ssh_host_cannot_be_reached(sshd: SshServer, words: bytes) -> None:
    with saying(words) as port:
        said = refusal(location(sshd, sshport=port), CentralUnreachable)
    assert said.startswith(f"SSH host 127.0.0.1 port {port} cannot be reached: ")


def test_a_host_that_does_not_exist(sshd: SshServer) -> None:
    said = refusal(location(sshd, url="nowhere.invalid", sshport=None), CentralUnreachable)
    assert re.match(r"SSH host nowhere\.invalid cannot be reached: .*(known|resolution)", said), said
    said = refusal(location(sshd, sshport=free_port()), CentralUnreachable)
    assert "Connection refused" in said


def test_the_command_says_it_in_one_line_and_does_not_linger(sshd: SshServer, tmp_path: Path) -> None:
    with saying(_NO_SSH_HOST[-1]) as port:
        config = tmp_path / "synchronise.conf"
        config.write_text(
            f"[general]\nlocalurl = sqlite://\n[locations]\nlab = 1\n[lab]\nurl = 127.0.0.1\nsshport = {port}\n"
            f"sshuser = {getpass.getuser()}\nsshfolder = {sshd.clients}\nresturl = http://127.0.0.1/rest/\n"
        )
        began = time.monotonic()
        done = pusher("--config", config, "check")
    assert done.returncode == 3
    assert done.stderr == ""
    assert re.fullmatch(r"FAIL lab: SSH host .* cannot be reached: [^\n]+", done.stdout.splitlines()[-1])
    assert time.monotonic() - began < 10


def test_a_service_behind_a_tunnel_is_asked_by_its_own_name() -> None:
    def answer() -> bytes:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\n\r\n")
            return request

    hello = Hello(protocol=1, site="north", epoch="e", agent_version="1", hostname="pi", clock="2026-01-01T00:00:00")
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, ThreadPoolExecutor() as pool:
        request = pool.submit(answer)
        central = RestCentral("http://central.example.org:81/rest/", None, through_port=listener.getsockname()[1])
        with closing(central), pytest.raises(CentralUnreachable, match=r"central\.example\.org:81/rest/: HTTP 503"):
            central.hello(hello)
    head = request.result().split(b"\r\n")
    assert head[0] == b"POST /sync/v1/hello HTTP/1.1" and b"Host: central.example.org:81" in head
