"""A folder at an SSH host as a destination: SFTP, and a shell beside it where the host allows one."""

from __future__ import annotations

import errno
import hashlib
import socket
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

import paramiko

from pusher.config import Location
from pusher.errors import AccessRefused, CentralUnreachable, DestinationUnreachable, FileRefused, Occupied
from pusher.files.destination import PARTS, Found, Part, Whole
from pusher.files.shell import Shell, is_odd, open_shell
from pusher.transport.hostkeys import KnownHosts
from pusher.transport.route import route
from pusher.transport.ssh import Note, signed_in, ssh_config

_WRITE_BYTES = 1 << 15
_SILENT_SECONDS = 120.0
_KEEPALIVE_SECONDS = 15
_DEAD_MS = 45_000
_FSYNC = "fsync@openssh.com"


@contextmanager
def sftp_destination(
    location: Location, root: str, sender: str, *, accept_host_keys: bool = False, note: Note
) -> Iterator[Sftp]:
    """The folder `root` (absolute, or ~/x) at the SSH host of `location`.

    Raises AccessRefused, ConfigError, DestinationUnreachable.
    """
    hops = route(location, ssh_config(location.sshfolder))
    known_hosts = KnownHosts(location.sshfolder)
    try:
        with signed_in(hops, known_hosts, accept_host_keys=accept_host_keys, note=note) as transport:
            _keep_watch(transport)
            with closing(Sftp(transport, str(hops[-1]), root, sender)) as destination:
                yield destination
    except CentralUnreachable as error:
        raise DestinationUnreachable(str(error)) from error


def _keep_watch(transport: paramiko.Transport) -> None:
    """A line that is dead shows itself within a minute."""
    transport.set_keepalive(_KEEPALIVE_SECONDS)
    if isinstance(transport.sock, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_MS)


class Sftp:
    folds_case = False
    windows = False

    def __init__(self, transport: paramiko.Transport, host: str, root: str, sender: str) -> None:
        """Raises DestinationUnreachable if there is no such folder, AccessRefused if it cannot be written to."""
        self._transport = transport
        self._host = host
        self._root = root.removeprefix("~/") or "."
        self._within = f"{PARTS}/{sender}"
        self._parts = f"{self._root}/{self._within}"
        self._folders: set[str] = set()
        with self._reaching(self._root):
            client = paramiko.SFTPClient.from_transport(transport)
            assert client, "a transport that is open gives a channel or raises"
            self._sftp = client
            self._sftp.get_channel().settimeout(_SILENT_SECONDS)  # type: ignore[union-attr]
            if not self._is_folder(self._root):
                raise DestinationUnreachable(f"{host} has no folder {root}; make it there, or mount its disk")
            self._make_folders(self._parts)
            self._shell = self._find_shell()

    # --- looking

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        with self._reaching(self._root):
            if self._shell and self._shell.loop and len(names) > 1:
                return self._shell.find(names)
            found = {}
            for name in names:
                if state := self._state(f"{self._root}/{name}"):
                    found[name] = _found(name, state)
            return found

    def listing(self) -> Iterator[Found]:
        with self._reaching(self._root):
            if self._shell and self._shell.loop:
                yield from self._shell.listing()
                return
            folders = [""]
            while folders:
                folder = folders.pop()
                for state in self._sftp.listdir_attr(f"{self._root}/{folder}"):
                    name = f"{folder}/{state.filename}" if folder else state.filename
                    if not stat.S_ISDIR(state.st_mode or 0):
                        yield _found(name, state)
                    elif name != PARTS:
                        folders.append(name)

    def digests(self, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        found: dict[str, str] = {}
        plain = [name for name in names if not is_odd(name)]
        if self._shell and plain:
            with self._reaching(self._root):
                found = self._shell.digests(plain)
        for name in names:
            if self._shell and not is_odd(name):
                yield name, found.get(name)
            else:
                yield name, self._read_back(f"{self._root}/{name}")

    def parts(self) -> list[Part]:
        with self._reaching(self._parts):
            found = self._sftp.listdir_attr(self._parts)
            return [Part(name=s.filename, size=s.st_size or 0) for s in found if stat.S_ISREG(s.st_mode or 0)]

    # --- writing

    def append(self, part: str, offset: int, chunks: Iterable[bytes]) -> None:
        path = f"{self._parts}/{part}"
        with self._reaching(path):
            if offset:
                self._sftp.truncate(path, offset)
            if self._shell:
                self._shell.append(f"{self._within}/{part}", chunks, anew=not offset)
                return
            with self._sftp.open(path, "r+b" if offset else "wb") as file:
                file.set_pipelined(True)
                file.seek(offset)
                for chunk in chunks:
                    for place in range(0, len(chunk), _WRITE_BYTES):
                        file.write(chunk[place : place + _WRITE_BYTES])
            self._make_last(path)

    def part_digest(self, part: str) -> str:
        path = f"{self._parts}/{part}"
        with self._reaching(path):
            if self._shell:
                return self._shell.part_digest(f"{self._within}/{part}")
        digest = self._read_back(path)
        if digest is None:
            raise FileRefused(f"{path} is gone; it is sent again")
        return digest

    def discard(self, part: str) -> None:
        with self._reaching(part), suppress(FileNotFoundError):
            self._sftp.remove(f"{self._parts}/{part}")

    def place(self, part: str, name: str, modified_ns: int, *, replace: bool) -> None:
        path = f"{self._parts}/{part}"
        with self._reaching(f"{self._root}/{name}"):
            self._sftp.utime(path, (modified_ns // 10**9, modified_ns // 10**9))
            self._give_name(path, name, replace=replace)

    def store(self, files: Sequence[Whole]) -> list[FileRefused | None]:
        staged: dict[str, Whole] = {}
        done: set[str] = set()
        if self._shell and len(files) > 1:
            staged = {file.name: file for file in files if not is_odd(file.name)}
        if self._shell and staged:
            with self._reaching(self._root):
                hashes = self._shell.stage(list(staged.values()))
                sound = [file for file in staged.values() if hashes.get(file.name) == file.sha256]
                done = {file.name for file in sound if file.replace and self._replace_staged(file)}
                new = [file.name for file in sound if not file.replace]
                done |= set(new) - self._shell.place_staged(new)
        return [None if file.name in done else self._store(file) for file in files]

    def close(self) -> None:
        if self._shell and self._shell.loop:
            self._shell.loop.close()
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._sftp.rmdir(self._parts)
            self._sftp.rmdir(f"{self._root}/{PARTS}")
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._sftp.close()

    # ---

    def _store(self, file: Whole) -> FileRefused | None:
        part = "whole"
        try:
            self.append(part, 0, [file.content])
            if self.part_digest(part) != file.sha256:
                raise FileRefused(f"{file.name} reads otherwise at {self._host}; is the disk there sound?")
            self.place(part, file.name, file.modified_ns, replace=file.replace)
        except FileRefused as refused:
            self.discard(part)
            return refused
        return None

    def _replace_staged(self, file: Whole) -> bool:
        with suppress(FileNotFoundError, FileRefused):  # then it goes the slow way, which says what is wrong
            with self._reaching(file.name):
                self._sftp.posix_rename(f"{self._parts}/batch/{file.name}", f"{self._root}/{file.name}")
            return True
        return False

    def _give_name(self, path: str, name: str, *, replace: bool) -> None:
        target = f"{self._root}/{name}"
        self._make_folders(target.rpartition("/")[0])
        if replace:
            self._sftp.posix_rename(path, target)
            return
        if self._state(target):
            raise Occupied(f"{target} is there already")
        try:
            self._sftp.rename(path, target)  # which refuses a name in use
        except OSError as error:
            if self._transport.is_active() and self._state(target):
                raise Occupied(f"{target} is there already") from error
            raise

    def _make_folders(self, path: str) -> None:
        """Those that are missing, from the top down."""
        if path in self._folders or path in ("", ".", "/"):
            return
        if not self._is_folder(path):
            self._make_folders(path.rpartition("/")[0])
            with suppress(OSError):  # somebody else may have made it
                self._sftp.mkdir(path)
            if not self._is_folder(path):
                reason = "something else has its name, or we may not" if self._state(path) else "we may not"
                raise FileRefused(f"the folder {path} cannot be made at {self._host}: {reason}")
        self._folders.add(path)

    def _is_folder(self, path: str) -> bool:
        with suppress(FileNotFoundError):
            return stat.S_ISDIR(self._sftp.stat(path).st_mode or 0)
        return False

    def _state(self, path: str) -> paramiko.SFTPAttributes | None:
        try:
            return self._sftp.lstat(path)
        except FileNotFoundError:
            return None
        except OSError:  # "Failure": a folder above it is a file
            if not self._transport.is_active():
                raise
            return None

    def _read_back(self, path: str) -> str | None:
        digest = hashlib.sha256()
        with self._reaching(path):
            try:
                with self._sftp.open(path, "rb") as file:
                    file.prefetch()
                    while chunk := file.read(1 << 17):
                        digest.update(chunk)
            except FileNotFoundError:
                return None
        return digest.hexdigest()

    def _make_last(self, path: str) -> None:
        """Has the host write a file to its disk, where it can be told to."""
        with suppress(OSError), self._sftp.open(path, "r+b") as file:
            self._sftp._request(paramiko.sftp.CMD_EXTENDED, _FSYNC, file.handle)  # type: ignore[attr-defined]

    def _find_shell(self) -> Shell | None:
        """Whether there is one, and whether it sees what SFTP shows: a host may show each another world."""
        probe = f"probe-{uuid.uuid4().hex}"
        with self._sftp.open(f"{self._parts}/{probe}", "wb") as file:
            file.write(f"{probe} ".encode())
        try:
            return open_shell(self._open_channel, self._root, self._within, probe)
        finally:
            self._sftp.remove(f"{self._parts}/{probe}")

    def _open_channel(self) -> paramiko.Channel:
        return self._transport.open_session(timeout=_SILENT_SECONDS)

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        try:
            yield
        except (paramiko.SSHException, EOFError, TimeoutError) as error:
            raise DestinationUnreachable(f"{self._host} is lost: {error or 'it closed the connection'}") from error
        except OSError as error:
            if not self._transport.is_active():
                raise DestinationUnreachable(f"{self._host} is lost: {error}") from error
            reason = error.strerror or str(error)
            if error.errno == errno.EACCES and what in (self._root, self._parts):
                raise AccessRefused(f"{what} at {self._host}: {reason}; give us the right to write there") from error
            raise FileRefused(f"{what} at {self._host}: {reason}; see its permissions and its disk") from error


def _found(name: str, state: paramiko.SFTPAttributes) -> Found:
    return Found(name=name, size=state.st_size or 0, modified=int(state.st_mtime or 0))
