"""Commands at an SSH host, for what SFTP alone does slowly: hashes, listings, many small files at once."""

from __future__ import annotations

import re
import shlex
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import paramiko

from pusher.errors import DestinationUnreachable
from pusher.files.destination import Found, Whole
from pusher.paths.names import PARTS

_WRITE_BYTES = 1 << 17  # paramiko copies what is left of a piece with each packet of it
_READ_BYTES = 1 << 16
_SILENT_SECONDS = 600.0  # the hash of a large file takes its time
_ODD = re.compile(r"[\n\r\\]")  # which a line of output cannot show as they are
_HASH = re.compile(rb"([0-9a-f]{64})[ ][ *](.*)")
_FOUND = re.compile(rb"(\d+)\t(-?\d+)[^\t]*\t(.*)", re.DOTALL)
_SAY = """
command -v openssl >/dev/null && echo openssl
command -v sha256sum >/dev/null && echo sha256sum
find . -maxdepth 0 -printf '' 2>/dev/null && stat --printf='' . 2>/dev/null &&
head --version 2>/dev/null | grep -q GNU && echo gnu
command -v tar >/dev/null && command -v ln >/dev/null && command -v xargs >/dev/null && echo tar
"""
# What is written goes to the disk meanwhile, so that little is left to wait for at the end.
_RECEIVE = """
{{ while sleep 1; do sync {path}; done; }} >/dev/null 2>&1 & syncs=$!
cat {into} {path}; code=$?
kill $syncs; exit $code
"""
# `head -c` of GNU takes no more than it is told to, and `read` no more than a line.
_LOOP = """
while read -r script given; do
text=$(head -c "$script")
head -c "$given" | eval "$text"
printf '\\n%s %s\\n' "$0" "$?"
done
"""
# A name of its own for each file; what is there already stays, and its number is said.
_LINK = """
l() { [ "$2" -ef "$3" ] || ln -- "$2" "$3" 2>/dev/null || echo "$1"; }
"""


@dataclass(frozen=True, kw_only=True)
class Shell:
    """`root` is the destination's folder, as the shell sees it; `parts` lies in it. `digest`: a command that prints
    the SHA-256 of files. `loop`: runs script after script, where find, stat and head are GNU's; to start a shell for
    each may take a tenth of a second, by what the user's own files have it do first."""

    open_channel: Callable[[], paramiko.Channel]
    root: str
    parts: str
    digest: str
    loop: Loop | None

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        script = "xargs -0 stat --printf='%s\\t%Y\\t%n\\0' 2>/dev/null"
        return {found.name: found for found in _parsed(self._run(script, _listed(names), lenient=True))}

    def listing(self) -> Iterator[Found]:
        return _parsed(self._run(f"find . -path ./{PARTS} -prune -o ! -type d -printf '%s\\t%Ts\\t%p\\0'"))

    def digests(self, names: Sequence[str]) -> dict[str, str]:
        """Of those that can be read."""
        answer = self._run(f"xargs -0 {self.digest} 2>/dev/null", _listed(names), lenient=True)
        return {name.removeprefix("./"): value for name, value in _hashes(answer)}

    def append(self, path: str, chunks: Iterable[bytes], *, anew: bool) -> None:
        script = _RECEIVE.format(path=shlex.quote(path), into=">" if anew else ">>")
        execute(self.open_channel(), self._within(script), chunks)

    def part_digest(self, path: str) -> str:
        """Of what is on the disk, where it stays."""
        quoted = shlex.quote(path)
        for _, value in _hashes(self._run(f"{self.digest} {quoted} && {{ sync {quoted} 2>/dev/null || sync; }}")):
            return value
        raise DestinationUnreachable(f"{path} cannot be hashed there")

    def stage(self, files: Sequence[Whole]) -> dict[str, str]:
        """Unpacks files into a folder of their own, lasting; their hashes as they are read there."""
        batch = shlex.quote(f"{self.parts}/batch")
        script = (
            f"rm -rf {batch} && mkdir -p {batch} && cd {batch} && tar -xof - && "
            f"find . -type f -exec {self.digest} {{}} + && {{ sync -f . 2>/dev/null || sync; }}"
        )
        return {name.removeprefix("./"): value for name, value in _hashes(self._run(script, b"".join(_packed(files))))}

    def place_staged(self, names: Sequence[str]) -> set[str]:
        """Gives staged files their final names; which could not get theirs. Ends the staging."""
        folders: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            folders.setdefault(name.rpartition("/")[0], []).append(number)
        script = [_LINK]
        for folder, numbers in folders.items():
            target = shlex.quote(f"./{folder}/" if folder else "./")
            staged = {number: shlex.quote(f"{self.parts}/batch/{names[number]}") for number in numbers}
            script.append(f"mkdir -p -- {target} 2>/dev/null")
            script.append(f"ln -- {' '.join(staged.values())} {target} 2>/dev/null || {{")
            script += [f"l {number} {path} {shlex.quote('./' + names[number])}" for number, path in staged.items()]
            script.append("}")
        script.append(f"rm -rf {shlex.quote(self.parts + '/batch')}")
        answer = self._run("\n".join(script), lenient=True)
        return {names[int(number)] for number in answer.split()}

    def _run(self, script: str, given: bytes = b"", *, lenient: bool = False) -> bytes:
        """What it prints. Raises DestinationUnreachable if it ends badly, unless `lenient`."""
        whole = self._within(script)
        if self.loop:
            return self.loop.run(whole, given, lenient=lenient)
        return execute(self.open_channel(), whole, [given], lenient=lenient)

    def _within(self, script: str) -> str:
        return f"cd {shlex.quote(self.root)} && {{\n{script}\n}}"


class Loop:
    """A shell that runs one script after the other, each with its own input: both come with their lengths."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._mark = uuid.uuid4().hex
        self._end = re.compile(rb"\n%s (\d+)\n\Z" % self._mark.encode())
        channel.settimeout(_SILENT_SECONDS)
        channel.exec_command(f"sh -c {shlex.quote(_LOOP)} {self._mark} 2>&1")

    def run(self, script: str, given: bytes, *, lenient: bool) -> bytes:
        """As `execute`."""
        text = script.encode()
        _send(self._channel, b"%d %d\n%s" % (len(text), len(given), text))
        _send(self._channel, given)
        answer = bytearray()
        while not (end := self._end.search(answer, max(0, len(answer) - 100))):
            piece = self._channel.recv(_READ_BYTES)
            if not piece:
                raise EOFError("its shell has ended")
            answer += piece
        output = bytes(answer[: end.start()])
        if int(end[1]) and not lenient:
            raise _failed(int(end[1]), output)
        return output

    def close(self) -> None:
        self._channel.close()


def execute(channel: paramiko.Channel, script: str, given: Iterable[bytes] = (), *, lenient: bool = False) -> bytes:
    """Whatever shell the user has there, it is sh that runs `script`."""
    with channel:
        channel.settimeout(_SILENT_SECONDS)
        channel.exec_command(f"sh -c {shlex.quote(script)}")
        try:
            for chunk in given:
                _send(channel, chunk)
            channel.shutdown_write()
        except OSError:  # the command has ended before: it says why
            if not channel.get_transport().is_active():
                raise
        answer = b"".join(iter(lambda: channel.recv(_READ_BYTES), b""))
        said = b"".join(iter(lambda: channel.recv_stderr(_READ_BYTES), b""))
        code = channel.recv_exit_status()
        if code and not lenient:
            raise _failed(code, said)
        return answer


def _send(channel: paramiko.Channel, chunk: bytes) -> None:
    for place in range(0, len(chunk), _WRITE_BYTES):
        channel.sendall(chunk[place : place + _WRITE_BYTES])


def _failed(code: int, said: bytes) -> DestinationUnreachable:
    words = said.decode(errors="replace").strip().splitlines()
    return DestinationUnreachable(f"a command there failed ({code}): {words[-1] if words else 'without a word'}")


def open_shell(open_channel: Callable[[], paramiko.Channel], root: str, parts: str, probe: str) -> Shell | None:
    """None if there is no shell that sees the file `probe` in `parts`, or not enough in it."""
    script = f"cd {shlex.quote(root)} && cat {shlex.quote(f'{parts}/{probe}')} && {{ {_SAY} }}"
    try:
        answer = execute(open_channel(), script, lenient=True).split()
    except (paramiko.SSHException, OSError):
        return None
    words = {word.decode(errors="replace") for word in answer}
    if probe not in words or "tar" not in words:
        return None
    digest = "openssl dgst -sha256 -r" if "openssl" in words else "sha256sum"
    if not {"openssl", "sha256sum"} & words:
        return None
    loop = Loop(open_channel()) if "gnu" in words else None
    return Shell(open_channel=open_channel, root=root, parts=parts, digest=digest, loop=loop)


def is_odd(name: str) -> bool:
    """Whether a line of output cannot hold the name as it is."""
    return _ODD.search(name) is not None


def _listed(names: Sequence[str]) -> bytes:
    return b"".join(b"./" + name.encode() + b"\0" for name in names)


def _parsed(answer: bytes) -> Iterator[Found]:
    for record in answer.split(b"\0"):
        if form := _FOUND.fullmatch(record):
            name = form[3].decode("utf-8", "surrogateescape").removeprefix("./")
            yield Found(name=name, size=int(form[1]), modified=int(form[2]))


def _hashes(answer: bytes) -> Iterator[tuple[str, str]]:
    for line in answer.split(b"\n"):
        if form := _HASH.fullmatch(line):
            yield form[2].decode("utf-8", "surrogateescape"), form[1].decode()


def _packed(files: Sequence[Whole]) -> Iterator[bytes]:
    """A tar archive, in pieces."""
    for file in files:
        entry = tarfile.TarInfo(f"./{file.name}")
        entry.size, entry.mtime, entry.mode = len(file.content), file.modified_ns // 10**9, 0o644
        yield entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        yield file.content
        yield bytes(-len(file.content) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
