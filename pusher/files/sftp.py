"""A folder at an SSH host as a destination: SFTP, and a shell beside it where the host allows one."""

from __future__ import annotations

import errno
import hashlib
import re
import socket
import stat
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain

import paramiko

from pusher.config import Location
from pusher.errors import AccessRefused, CentralUnreachable, DestinationUnreachable, FileRefused, Occupied
from pusher.files.destination import PARTS, Found, Part, Whole
from pusher.files.pipeline import Pipeline, encoded
from pusher.files.shell import CommandFailed, Shell, is_odd, open_shell
from pusher.transport.hostkeys import KnownHosts
from pusher.transport.route import route
from pusher.transport.ssh import Note, signed_in, ssh_config

_SILENT_SECONDS = 60.0
_FAREWELL_SECONDS = 5.0
_KEEPALIVE_SECONDS = 15
_DEAD_MS = 45_000
_LAST_SECOND = (1 << 32) - 1  # that SFTP can write down
_SHORT_BYTES = 8 << 20
_OPEN_FILES = 64
_ATTEMPTS = 3
_NO_ROOM = re.compile("no space left|quota exceeded", re.IGNORECASE)
_NOT_ALLOWED = re.compile("permission denied|read-only file system|not permitted", re.IGNORECASE)


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
        self._root = "." if root == "~" else root.removeprefix("~/") or "."
        self._within = f"{PARTS}/{sender}"
        self._parts = f"{self._root}/{self._within}"
        self._folders: set[str] = set()
        with self._reaching(self._root):
            client = paramiko.SFTPClient.from_transport(transport)
            assert client, "a transport that is open gives a channel or raises"
            self._sftp = client
            self._sftp.get_channel().settimeout(_SILENT_SECONDS)  # type: ignore[union-attr]
            self._pipeline = Pipeline(client, transport.remote_version)
            if not self._is_folder(self._root):
                raise DestinationUnreachable(f"{host} has no folder {root}; make it there, or mount its disk")
            self._make_folders(self._parts)
            self._shell = self._find_shell()

    # --- looking

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        with self._reaching(self._root):
            if self._shell and self._shell.loop and len(names) > 1:
                return self._shell.find(names)
            states = self._pipeline.states([f"{self._root}/{name}" for name in names])
            return {name: _found(name, state) for name, state in zip(names, states, strict=True) if state}

    def listing(self) -> Iterator[Found]:
        with self._reaching(self._root):
            if self._shell and self._shell.loop:
                yield from self._shell.listing()
                return
            folders = [""]
            while folders:
                folder = folders.pop()
                for entry, state in self._pipeline.entries(f"{self._root}/{folder}"):
                    name = f"{folder}/{entry}" if folder else entry
                    if not stat.S_ISDIR(state.st_mode or 0):
                        yield _found(name, state)
                    elif name != PARTS:
                        folders.append(name)

    def digests(self, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        plain = [name for name in names if not is_odd(name)] if self._shell else []
        portions = self._shell.digests(plain) if self._shell else iter(())
        known: dict[str, str | None] = {name: None for name in names if self._shell is None or is_odd(name)}
        for name in names:
            while name not in known:
                with self._reaching(self._root):
                    known.update(next(portions))
            yield name, known[name] or self._readable(f"{self._root}/{name}")

    def parts(self) -> list[Part]:
        with self._reaching(self._parts):
            found = self._pipeline.entries(self._parts)
            return [Part(name=name, size=s.st_size or 0) for name, s in found if stat.S_ISREG(s.st_mode or 0)]

    # --- writing

    def append(self, part: str, offset: int, chunks: Iterable[bytes]) -> None:
        begin, rest = _parted(chunks)
        with self._reaching(self._parts):
            if self._shell and rest:
                self._shell.append(f"{self._within}/{part}", offset, chain(begin, rest))
            else:
                self._write(f"{self._parts}/{part}", offset, chain(begin, rest or ()))

    def part_digest(self, part: str) -> str:
        with self._reaching(self._parts):
            if self._shell:
                return self._shell.part_digest(f"{self._within}/{part}")
        path = f"{self._parts}/{part}"
        digest = self._read_back(path)
        if digest is None:
            raise FileRefused(f"{path} is gone; it is sent again")
        return digest

    def discard(self, part: str) -> None:
        with self._reaching(self._parts), suppress(FileNotFoundError):
            self._sftp.remove(f"{self._parts}/{part}")

    def place(self, part: str, name: str, modified_ns: int, *, replace: bool) -> None:
        path, seconds = f"{self._parts}/{part}", modified_ns // 10**9
        if refused := _fault_of_time(name, seconds):
            raise refused
        with self._reaching(f"{self._root}/{name}"):
            self._sftp.utime(path, (seconds, seconds))
            (refused,) = self._give_names([(path, name, replace)])
            if refused:
                raise refused
            if self._shell:
                self._shell.make_last(name.rpartition("/")[0])

    def store(self, files: Sequence[Whole]) -> list[FileRefused | None]:
        answers = self._store_together(self._shell, files) if self._shell else {}
        left = [number for number in range(len(files)) if number not in answers]
        for begin in range(0, len(left), _OPEN_FILES):
            some = left[begin : begin + _OPEN_FILES]
            answers.update(zip(some, self._store_each([files[number] for number in some]), strict=True))
        return [answers[number] for number in range(len(files))]

    def close(self) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):
            if self._shell and self._shell.loop:
                self._shell.loop.close()
            self._sftp.get_channel().settimeout(_FAREWELL_SECONDS)  # type: ignore[union-attr]
            self._sftp.rmdir(self._parts)
            self._sftp.rmdir(f"{self._root}/{PARTS}")
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._sftp.close()

    # --- whole files

    def _store_together(self, shell: Shell, files: Sequence[Whole]) -> dict[int, FileRefused | None]:
        """By number what became of them; those that are not in it go alone, each to an answer of its own."""
        numbers = {file.name: number for number, file in enumerate(files) if not is_odd(file.name)}
        if not numbers:
            return {}
        with self._reaching(self._root):
            try:
                hashes = shell.stage([files[number] for number in numbers.values()])
            except CommandFailed:
                hashes = {}
            sound = [number for name, number in numbers.items() if hashes.get(name) == files[number].sha256]
            done = [n for n in sound if files[n].replace and self._replace_staged(shell, files[n].name)]
            new = [number for number in sound if not files[number].replace]
            refused = shell.place_staged([files[number].name for number in new])
            done += [number for number in new if files[number].name not in refused]
            return {**dict.fromkeys(done), **{numbers[name]: self._occupied(name) for name in self.find(list(refused))}}

    def _replace_staged(self, shell: Shell, name: str) -> bool:
        try:
            self._sftp.posix_rename(f"{self._root}/{shell.batch}/{name}", f"{self._root}/{name}")
        except OSError as error:
            self._raise_if_lost(error)
            return False
        return True

    def _store_each(self, files: Sequence[Whole]) -> list[FileRefused | None]:
        """By SFTP alone, with an answer for each that is its own."""
        answers = [_fault_of_time(file.name, file.modified_ns // 10**9) for file in files]
        sent = [number for number, refused in enumerate(answers) if not refused]
        paths = {number: f"{self._parts}/whole-{uuid.uuid4().hex}" for number in sent}
        with self._reaching(self._parts):
            whole = [(paths[n], files[n].content, files[n].modified_ns // 10**9) for n in sent]
            for number, digest in zip(sent, self._pipeline.write_new(whole), strict=True):
                if digest != files[number].sha256:
                    what = f"{files[number].name} reads otherwise at {self._host}"
                    answers[number] = FileRefused(f"{what}; is the disk there sound?")
            sound = [number for number in sent if not answers[number]]
            names = self._give_names([(paths[n], files[n].name, files[n].replace) for n in sound])
            for number, refused in zip(sound, names, strict=True):
                answers[number] = refused
            self._pipeline.remove([paths[number] for number in sent if answers[number]])
        return answers

    def _write(self, path: str, offset: int, chunks: Iterable[bytes]) -> None:
        if offset:
            self._sftp.truncate(path, offset)
        with self._sftp.open(path, "r+b" if offset else "wb") as file:
            self._pipeline.write(file, offset, chunks)

    # --- names and folders

    def _give_names(self, wanted: Sequence[tuple[str, str, bool]]) -> list[FileRefused | None]:
        """To each path the name, also one in use if that may be; why not, of each."""
        answers = [self._make_way(name) for _, name, _ in wanted]
        there = self._pipeline.states([f"{self._root}/{name}" for _, name, _ in wanted])
        for number, (_, name, replace) in enumerate(wanted):
            if not answers[number] and there[number] and not replace:
                answers[number] = self._occupied(name)
        left = [number for number, refused in enumerate(answers) if not refused]
        changes = [(path, f"{self._root}/{name}", replace) for path, name, replace in (wanted[n] for n in left)]
        for number, error in zip(left, self._pipeline.rename(changes), strict=True):
            if error:  # the server refuses a name in use, too
                _, name, replace = wanted[number]
                taken = not replace and self._state(f"{self._root}/{name}")
                answers[number] = self._occupied(name) if taken else self._refusal(f"{self._root}/{name}", error)
        return answers

    def _make_way(self, name: str) -> FileRefused | None:
        """Makes the folders above a name."""
        path = f"{self._root}/{name}".rpartition("/")[0]
        try:
            self._make_folders(path)
        except FileRefused as refused:
            return refused
        except OSError as error:
            self._raise_if_lost(error)
            return self._refusal(path, error)
        return None

    def _occupied(self, name: str) -> Occupied:
        return Occupied(f"{self._root}/{name} is there already at {self._host}")

    def _make_folders(self, path: str) -> None:
        """Those that are missing, from the top down."""
        if path in self._folders or path in ("", "."):
            return
        for _ in range(_ATTEMPTS):
            if self._is_folder(path):
                break
            above = path.rpartition("/")[0]
            self._make_folders(above)
            try:
                self._sftp.mkdir(path)
            except FileNotFoundError:  # another sender took the one above away, since it was empty
                self._folders.discard(above)
            except OSError as error:
                if self._is_folder(path):  # another sender made it
                    break
                if self._state(path):
                    raise FileRefused(f"the folder {path} cannot be made at {self._host}: a file is there") from error
                raise
        self._folders.add(path)

    def _is_folder(self, path: str) -> bool:
        with suppress(FileNotFoundError):
            return stat.S_ISDIR(self._sftp.stat(path).st_mode or 0)
        return False

    def _state(self, path: str) -> paramiko.SFTPAttributes | None:
        return self._pipeline.states([path])[0]

    def _readable(self, path: str) -> str | None:
        try:
            return self._read_back(path)
        except FileRefused:
            return None

    def _read_back(self, path: str) -> str | None:
        digest = hashlib.sha256()
        with self._reaching(path):
            try:
                with self._sftp.open(encoded(path), "rb") as file:
                    for chunk in self._pipeline.read(file, file.stat().st_size or 0):
                        digest.update(chunk)
            except FileNotFoundError:
                return None
        return digest.hexdigest()

    # --- the shell, and what goes wrong

    def _find_shell(self) -> Shell | None:
        """Whether there is one, and whether it sees what SFTP shows: a host may show each another world."""
        probe = f"probe-{uuid.uuid4().hex}"
        with self._sftp.open(f"{self._parts}/{probe}", "wb") as file:
            file.write(probe.encode())
        try:
            return open_shell(self._open_channel, self._root, self._within, probe)
        finally:
            self._sftp.remove(f"{self._parts}/{probe}")

    def _open_channel(self) -> paramiko.Channel:
        return self._transport.open_session(timeout=_SILENT_SECONDS)

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        """`what`: the path at hand, which if it is no single file's concerns them all."""
        try:
            yield
        except (paramiko.SSHException, EOFError, TimeoutError) as error:
            raise self._lost(error) from error
        except CommandFailed as error:
            raise self._failed(str(error)) from error
        except OSError as error:
            self._raise_if_lost(error)
            raise self._trouble(what, error) from error

    def _raise_if_lost(self, error: OSError) -> None:
        if isinstance(error, TimeoutError) or not self._transport.is_active():
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> DestinationUnreachable:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or "it closed the connection"
        return DestinationUnreachable(f"{self._host} is lost: {reason}; it is tried again")

    def _failed(self, words: str) -> AccessRefused | DestinationUnreachable:
        place = f"{self._root} at {self._host}"
        if _NO_ROOM.search(words):
            return DestinationUnreachable(f"no room in {place}: {words}; free some there")
        if _NOT_ALLOWED.search(words):
            return AccessRefused(f"{place}: {words}; give us the right to read and write there")
        return DestinationUnreachable(f"a command in {place} failed: {words}; see the logs of that host")

    def _trouble(self, what: str, error: OSError) -> AccessRefused | DestinationUnreachable | FileRefused:
        if what not in (self._root, self._parts):
            return self._refusal(what, error)
        reason = error.strerror or str(error)  # of SFTP often no more than "Failure"
        if error.errno == errno.EACCES:
            return AccessRefused(f"{what} at {self._host}: {reason}; give us the right to write there")
        return DestinationUnreachable(f"{what} at {self._host}: {reason}; is its disk mounted, and not full?")

    def _refusal(self, what: str, error: OSError) -> FileRefused:
        reason = error.strerror or str(error)
        return FileRefused(f"{what} at {self._host}: {reason}; see its permissions and its disk")


def _fault_of_time(name: str, seconds: int) -> FileRefused | None:
    if 0 <= seconds <= _LAST_SECOND:
        return None
    return FileRefused(f"{name}: SFTP knows no time before 1970 or after 2105; touch the file")


def _parted(chunks: Iterable[bytes]) -> tuple[list[bytes], Iterator[bytes] | None]:
    """As much as is faster written by SFTP than by a command, which has to start, and the rest, if there is any."""
    left = iter(chunks)
    begin: list[bytes] = []
    size = 0
    for chunk in left:
        begin.append(chunk)
        size += len(chunk)
        if size > _SHORT_BYTES:
            return begin, left
    return begin, None


def _found(name: str, state: paramiko.SFTPAttributes) -> Found:
    return Found(name=name, size=state.st_size or 0, modified=int(state.st_mtime or 0))
