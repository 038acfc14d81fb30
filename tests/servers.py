"""Real servers for tests, each in a folder of its own on a free port of the loopback interface."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg
import pymysql

_START_SECONDS = 60
_STOP_SECONDS = 30
_LOG_LINES = 40
# Of a disk in memory, where there is room for all that the tests leave: MariaDB makes tables twice as fast there.
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 8 << 30
# Debian keeps the servers out of an ordinary user's path.
_SEARCH_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)


class Server(ABC):
    """A server that starts when a test first wants it, may be killed and started again, and is stopped at the end.

    Its folder is removed by `close()`, unless `keep_log` was set: then the log stays.
    """

    name = ""
    user: str | None = None  # whom the server runs as
    in_memory = False  # its folder may be there

    def __init__(self) -> None:
        where = _MEMORY if self.in_memory and _has_room(_MEMORY, _MEMORY_BYTES) else None
        self.folder = Path(tempfile.mkdtemp(prefix=f"pusher-{self.name}-", dir=where))
        self.log = self.folder / "server.log"
        self.port = free_port()
        self.keep_log = False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> None:
        """Starts the server on its folder and port, and returns when it answers."""
        if self._process is not None:
            return
        if self.user:
            shutil.chown(self.folder, self.user)
        if not (self.folder / "data").exists():
            self._install()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._identity(),
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Shuts the server down in order."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Ends the server, with all its processes, as a power cut would; `start()` brings it back."""
        if self._process is None:
            return
        children = _descendants(self.pid)
        self._process.kill()
        self._process.wait()
        self._process = None
        _kill(children)

    def close(self) -> None:
        self.stop()
        if self.keep_log:
            shutil.rmtree(self.folder / "data", ignore_errors=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def _install(self) -> None:
        """Fills the folder `data`."""

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _ping(self) -> None:
        """Raises the driver's error as long as the server does not answer."""

    def _identity(self) -> dict[str, Any]:
        return {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            **self._identity(),
            check=False,
        )
        assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout.decode()}"

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._ping()
                return
            except (pymysql.Error, psycopg.Error, OSError) as error:
                if self._process.poll() is None and time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                state = "does not answer" if self._process.returncode is None else "ended"
                lines = self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
                raise AssertionError(f"{self.name} {state} ({error}):\n" + "\n".join(lines)) from error


class DatabaseServer(Server):
    ends_at_once: signal.Signals

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(1)

    def new_database(self) -> str:
        """Makes an empty database and returns its URL."""
        self.start()
        name = f"pusher_{next(self._numbers)}"
        self._create_database(name)
        return self.url(name)

    def close(self) -> None:
        """At once: what it would still write is thrown away."""
        if self._process:
            self._process.send_signal(self.ends_at_once)
        super().close()

    @abstractmethod
    def url(self, database: str) -> str: ...

    @abstractmethod
    def _create_database(self, name: str) -> None: ...


class MariaDB(DatabaseServer):
    name = "mariadb"
    in_memory = True
    ends_at_once = signal.SIGKILL

    def url(self, database: str) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def _install(self) -> None:
        # --no-defaults comes first: a developer's own /etc/mysql must not leak into the tests.
        self._run(
            binary("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *self._options(),
        )

    def _command(self) -> Sequence[str]:
        return [
            binary("mariadbd"),
            "--no-defaults",
            *self._options(),
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--performance-schema=off",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            # What was committed survives the server's death, but not the machine's: no test goes that far.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--sync-frm=0",
        ]

    def _options(self) -> list[str]:
        """Also of the server that fills the folder. If two shared a folder of temporary tables, one that starts would
        remove those of the other."""
        return [f"--tmpdir={self.folder}", *(["--user=root"] if os.geteuid() == 0 else [])]

    def _ping(self) -> None:
        pymysql.connect(host="127.0.0.1", port=self.port, user="root").close()

    def _create_database(self, name: str) -> None:
        with pymysql.connect(host="127.0.0.1", port=self.port, user="root") as connection:
            connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")


class PostgreSQL(DatabaseServer):
    name = "postgresql"
    ends_at_once = signal.SIGQUIT
    user = "postgres" if os.geteuid() == 0 else None  # initdb refuses to be run by root

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def _install(self) -> None:
        self._run(
            binary("initdb"),
            f"--pgdata={self.folder / 'data'}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )

    def _command(self) -> Sequence[str]:
        return [
            binary("postgres"),
            f"-D{self.folder / 'data'}",
            f"-p{self.port}",
            f"-k{self.folder}",
            "-clisten_addresses=127.0.0.1",
            "-cfsync=off",
            "-cautovacuum=off",  # which would look at the databases of all tests, round and round
        ]

    def _ping(self) -> None:
        self._connect().close()

    def _create_database(self, name: str) -> None:
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True)


class SshServer(Server):
    """Debian's sshd. It lets in whoever runs the tests, with the key `id_ed25519` of the folder `clients`, which stands
    for their ~/.ssh and has the host's key in its known_hosts.

    `options`: lines of sshd_config that go before ours.
    """

    name = "sshd"

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.clients = self.folder / "clients"
        self._options = options

    def stop(self) -> None:
        """Also ends the connections, for which sshd has a process each, and which would live on."""
        children = _descendants(self._process.pid) if self._process else []
        super().stop()
        _kill(children)

    def cut(self) -> None:
        """Ends all connections without a word, and goes on listening."""
        _kill(_descendants(self.pid))

    def freeze(self) -> None:
        """Stops all connections as they are: the system keeps them up, and nobody is behind them."""
        for pid in _descendants(self.pid):
            os.kill(pid, signal.SIGSTOP)

    def authorize(self, public_key: Path) -> None:
        """Lets in whoever has the key to this."""
        with (self.folder / "authorized_keys").open("ab") as file:
            file.write(public_key.read_bytes())

    def new_host_key(self, kind: str = "ed25519") -> None:
        """Another key from the next start on, of which the clients do not know."""
        for path in self._host_key.parent.glob(f"{self._host_key.name}*"):
            path.unlink()
        new_ssh_key(self._host_key, kind)

    def host_key(self) -> str:
        """The public key, as kind and Base64."""
        return " ".join(self._host_key.with_suffix(".pub").read_text().split()[:2])

    def fingerprint(self) -> str:
        """As ssh-keygen shows it."""
        done = subprocess.run([binary("ssh-keygen"), "-l", "-f", self._host_key], capture_output=True, check=True)
        return done.stdout.decode().split()[1]

    @property
    def _host_key(self) -> Path:
        return self.folder / "data" / "host_key"

    def _install(self) -> None:
        self._host_key.parent.mkdir()
        self.clients.mkdir(mode=0o700)
        self.new_host_key()
        new_ssh_key(self.clients / "id_ed25519")
        (self.clients / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {self.host_key()}\n")
        shutil.copy(self.clients / "id_ed25519.pub", self.folder / "authorized_keys")
        options = [
            *self._options,
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self._host_key}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "SetEnv SHLVL=1",  # else bash begins each command with what is in ~/.bashrc of whoever runs the tests
        ]
        (self.folder / "data" / "sshd_config").write_text("\n".join(options) + "\n")

    def _command(self) -> Sequence[str]:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists, and only its service makes it
        return [binary("sshd"), "-D", "-e", "-f", str(self.folder / "data" / "sshd_config")]

    def _ping(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            if not connection.recv(4):
                raise ConnectionError("sshd said nothing")


def new_ssh_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A pair of keys, the public one in a .pub beside `path`."""
    command = [binary("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


SERVERS: dict[str, Callable[[], DatabaseServer]] = {"mariadb": MariaDB, "postgresql": PostgreSQL}


def _has_room(folder: Path, size: int) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= size


def binary(name: str) -> str:
    """The path of a server's program."""
    path = shutil.which(name, path=_SEARCH_PATH)
    assert path, f"{name} is not installed; `make test` installs it"
    return path


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [each for child in children for each in _descendants(child)]


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # PostgreSQL does not start again while one of its old processes holds on to the shared memory.
    while any(_is_running(pid) for pid in pids):
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert isinstance(port, int)
        return port
