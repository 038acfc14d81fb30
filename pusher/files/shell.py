"""Commands at an SSH host, for what SFTP alone does slowly: hashes, listings, many small files at once."""

from __future__ import annotations

import hashlib
import re
import shlex
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import paramiko

from pusher.files.destination import Found, Whole
from pusher.paths.names import PARTS

_WRITE_BYTES = 1 << 17  # paramiko copies what is left of a piece with each packet of it
_READ_BYTES = 1 << 16
_NAMES_BYTES = 1 << 16  # of names that go to one command: its answer fits into the channel while they still go out
_SILENT_SECONDS = 60.0
_PROBE_SECONDS = 30.0
_NO_FOLDER = 9
_SOME_FAILED = (0, 1, 123)  # of xargs
_ODD = re.compile(r"[\n\r\\]")  # which a line of output cannot show as they are
_HASH = re.compile(rb"([0-9a-f]{64})[ ][ *](.*)")
_FOUND = re.compile(rb"(\d+)\t(-?\d+)[^\t]*\t(.*)", re.DOTALL)
_DIGESTS = ("openssl dgst -sha256 -r", "sha256sum")  # the faster one first
# A command may work for long without a word, so it says on the other stream that it is alive.
_ALIVE = """
export LC_ALL=C
{ while sleep 15 2>&1; do echo >&2; done; } >/dev/null & alive=$!
"""
_SAY = """
for digest in 'openssl dgst -sha256 -r' sha256sum; do echo $($digest {probe} 2>/dev/null | cut -c 1-64) "$digest"; done
find . -maxdepth 0 -printf '' 2>/dev/null && stat --printf='' . 2>/dev/null &&
head --version 2>/dev/null | grep -q GNU && echo gnu
command -v tar >/dev/null && command -v ln >/dev/null && command -v xargs >/dev/null && echo tar
rm -rf -- {parts}/batch-*
"""
# What is written goes to the disk meanwhile, so that little is left to wait for at the end. Each byte goes to its own
# place: a command of a connection that was lost may still be writing what came over it, and so does no harm.
_RECEIVE = """
dd bs=1 seek={offset} count=0 of={path} </dev/null 2>/dev/null
{{ while sleep 1 && kill -0 $$; do sync {path} || break; done; }} >/dev/null 2>&1 & syncs=$!
{{ dd bs=1 seek={offset} count=0 </dev/null 2>/dev/null; cat; }} 1<> {path}; code=$?
kill $syncs; exit $code
"""
# `head -c` of GNU takes no more than it is told to, and `read` no more than a line. What a script leaves of its input
# is thrown away: it must never be read as the next script.
_LOOP = """
while read -r mark script given && [ "$mark" = "$0" ]; do
text=$(head -c "$script")
echo "$0"
head -c "$given" | { ( eval "$text" ) 2>&1; code=$?; cat >/dev/null; printf '\\n%s %s\\n' "$0" "$code"; }
done
kill $alive
"""
# A name of its own for each file; what is there already stays, and its number is said. The target is always a folder,
# since `ln` would put a file into a folder that has its name.
_LINK = """
l() { [ "$2" -ef "$4" ] || ln -- "$2" "$3" 2>/dev/null || echo "$1"; }
"""


class CommandFailed(Exception):
    """What the command said last."""


@dataclass(frozen=True, kw_only=True)
class Shell:
    """`root` is the destination's folder, as the shell sees it; `batch` lies in it. `digest`: a command that prints
    the SHA-256 of files. `loop`: runs script after script, where find, stat and head are GNU's; to start a shell for
    each may take a tenth of a second, by what the user's own files have it do first.

    Every method raises CommandFailed, and what paramiko raises.
    """

    open_channel: Callable[[], paramiko.Channel]
    root: str
    batch: str
    digest: str
    loop: Loop | None

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        script = "xargs -0 stat --printf='%s\\t%Y\\t%n\\0' 2>/dev/null"
        answers = [self._run(script, _listed(some), _SOME_FAILED) for some in _portions(names)]
        return {found.name: found for answer in answers for found in _parsed(answer)}

    def listing(self) -> Iterator[Found]:
        return _parsed(self._run(f"find . -path ./{PARTS} -prune -o ! -type d -printf '%s\\t%Ts\\t%p\\0'"))

    def digests(self, names: Sequence[str]) -> Iterator[dict[str, str | None]]:
        """Of each, portion by portion, in their order; None where the command could not read."""
        for some in _portions(names):
            answer = self._run(f"xargs -0 {self.digest} 2>/dev/null", _listed(some), _SOME_FAILED)
            found = {name.removeprefix("./"): value for name, value in _hashes(answer)}
            yield {name: found.get(name) for name in some}

    def append(self, path: str, offset: int, chunks: Iterable[bytes]) -> None:
        script = _RECEIVE.format(path=shlex.quote(path), offset=offset)
        execute(self.open_channel(), self._within(script), chunks)

    def part_digest(self, path: str) -> str:
        """Of what is on the disk, where it stays."""
        quoted = shlex.quote(path)
        for _, value in _hashes(self._run(f"{self.digest} {quoted} && sync {quoted}")):
            return value
        raise CommandFailed(f"{self.digest} says nothing of {path}")

    def make_last(self, folder: str) -> None:
        """The names in a folder stay, whatever happens."""
        self._run(f"sync {shlex.quote('./' + folder)} 2>/dev/null || sync")

    def stage(self, files: Sequence[Whole]) -> dict[str, str]:
        """Unpacks files into a folder of their own, lasting; their hashes as they are read there."""
        batch = shlex.quote(self.batch)
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
            staged = {number: shlex.quote(f"{self.batch}/{names[number]}") for number in numbers}
            script.append(f"mkdir -p -- {target} 2>/dev/null")
            script.append(f"ln -- {' '.join(staged.values())} {target} 2>/dev/null || {{")
            script += [
                f"l {number} {path} {target} {shlex.quote('./' + names[number])}" for number, path in staged.items()
            ]
            script.append("}")
        script.append("{ sync -f . || sync; } 2>/dev/null")
        script.append(f"rm -rf {shlex.quote(self.batch)} 2>/dev/null; true")
        return {names[int(number)] for number in self._run("\n".join(script)).split()}

    def _run(self, script: str, given: bytes = b"", good: Sequence[int] = (0,)) -> bytes:
        """What it prints. `good`: the numbers that it may end with."""
        whole = self._within(script)
        if self.loop:
            return self.loop.run(whole, given, good)
        if given:
            return execute(self.open_channel(), whole, [given], good)
        return execute(self.open_channel(), "sh", [whole.encode()], good)  # a command line may not be so long

    def _within(self, script: str) -> str:
        return f"cd {shlex.quote(self.root)} || exit {_NO_FOLDER}\n{script}"


class Loop:
    """A shell that runs one script after the other, each with its own input: both come with their lengths, and with a
    word that nobody else knows."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._mark = uuid.uuid4().hex.encode()
        self._end = re.compile(rb"\n%s (\d+)\n\Z" % self._mark)
        channel.settimeout(_SILENT_SECONDS)
        channel.exec_command(f"sh -c {shlex.quote(_ALIVE + _LOOP)} {self._mark.decode()}")

    def run(self, script: str, given: bytes, good: Sequence[int]) -> bytes:
        """As `execute`."""
        text = script.encode()
        _send(self._channel, b"%s %d %d\n%s" % (self._mark, len(text), len(given), text))
        _send(self._channel, given)
        answer = bytearray()
        while not (end := self._end.search(answer, max(0, len(answer) - 100))):
            piece, _ = _receive(self._channel)
            if not piece:
                raise EOFError("its shell has ended")
            answer += piece
        begin = self._mark + b"\n"  # before it stands what the user's own files have a shell say first
        output = bytes(answer[answer.index(begin) + len(begin) : end.start()])
        if int(end[1]) not in good:
            raise _failed(int(end[1]), output)
        return output

    def close(self) -> None:
        self._channel.close()


def execute(
    channel: paramiko.Channel,
    script: str,
    given: Iterable[bytes] = (),
    good: Sequence[int] = (0,),
    silent_seconds: float = _SILENT_SECONDS,
) -> bytes:
    """What `script` prints. Whatever shell the user has there, it is sh that runs it."""
    with channel:
        channel.settimeout(silent_seconds)
        channel.exec_command(f"sh -c {shlex.quote(f'{_ALIVE}( {script} ); code=$?; kill $alive; exit $code')}")
        try:
            for chunk in given:
                _send(channel, chunk)
            channel.shutdown_write()
        except TimeoutError:
            raise
        except OSError:  # the command has ended before: it says why
            if not channel.get_transport().is_active():
                raise
        answer, said = bytearray(), bytearray()
        while True:
            piece, aside = _receive(channel)
            said += aside
            if not piece:
                break
            answer += piece
        said += b"".join(iter(lambda: channel.recv_stderr(_READ_BYTES), b""))
        code = channel.recv_exit_status()
        if code not in good:
            raise _failed(code, bytes(said))
        return bytes(answer)


def _send(channel: paramiko.Channel, chunk: bytes) -> None:
    for place in range(0, len(chunk), _WRITE_BYTES):
        channel.sendall(chunk[place : place + _WRITE_BYTES])


def _receive(channel: paramiko.Channel) -> tuple[bytes, bytes]:
    """What comes next on the one stream, empty at its end, and what came meanwhile on the other."""
    aside = b""
    while True:
        try:
            return channel.recv(_READ_BYTES), aside
        except TimeoutError:
            if not channel.recv_stderr_ready():
                raise
            aside += channel.recv_stderr(_READ_BYTES)


def _failed(code: int, said: bytes) -> CommandFailed:
    words = said.decode(errors="replace").strip().splitlines()
    return CommandFailed(words[-1] if words else f"it ended with {code}, without a word")


def open_shell(open_channel: Callable[[], paramiko.Channel], root: str, parts: str, probe: str) -> Shell | None:
    """None if there is no shell that sees the file `probe` in `parts`, which holds its own name, or not enough in it.

    What another connection staged goes.
    """
    root = root if root.startswith("/") else f"./{root}"
    file, quoted = shlex.quote(f"{parts}/{probe}"), shlex.quote(parts)
    script = f"cd {shlex.quote(root)} && [ -f {file} ] && {{ {_SAY.format(probe=file, parts=quoted)} }}"
    try:
        answer = execute(open_channel(), script, silent_seconds=_PROBE_SECONDS).decode(errors="replace").splitlines()
        loop = Loop(open_channel()) if "gnu" in answer else None
    except (paramiko.SSHException, OSError, CommandFailed):
        return None
    value = hashlib.sha256(probe.encode()).hexdigest()
    digest = next((each for each in _DIGESTS if f"{value} {each}" in answer), None)
    if digest is None or "tar" not in answer:
        return None
    batch = f"{parts}/batch-{uuid.uuid4().hex}"
    return Shell(open_channel=open_channel, root=root, batch=batch, digest=digest, loop=loop)


def is_odd(name: str) -> bool:
    """Whether a line of output cannot hold the name as it is."""
    return _ODD.search(name) is not None


def _portions(names: Sequence[str]) -> Iterator[list[str]]:
    some: list[str] = []
    size = 0
    for name in names:
        if size > _NAMES_BYTES:
            yield some
            some, size = [], 0
        some.append(name)
        size += len(name)
    if some:
        yield some


def _listed(names: Sequence[str]) -> bytes:
    return b"".join(b"./" + name.encode("utf-8", "surrogateescape") + b"\0" for name in names)


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
