"""An SSH host as a destination, where it differs from others: its shell, its broken lines, its refusals."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pusher.config import Location
from pusher.config_keys import Secret
from pusher.errors import AccessRefused, DestinationUnreachable, FileRefused, Occupied
from pusher.files import sftp as sftp_module
from pusher.files import shell as shell_module
from pusher.files.destination import PARTS, Part, Whole
from pusher.files.sftp import Sftp, sftp_destination
from tests.counting import CountingProxy
from tests.leftovers import nothing_left_open
from tests.servers import SshServer

MODIFIED_NS = 1_700_000_000_000_000_000
CHUNK = 1 << 16
LARGE = os.urandom(24 << 20) + b"end"
_DELAY_SECONDS = 0.05
FAR = 300  # chunks: where it is under way
_SFTP = "Subsystem sftp internal-sftp"
_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server")


@dataclass
class Host:
    sshd: SshServer
    root: Path
    location: Location
    told: list[str] = field(default_factory=list)

    def connect(
        self, sender: str = "site-a", *, root: str = "", accept_host_keys: bool = False, **changes: Any
    ) -> AbstractContextManager[Sftp]:
        location = replace(self.location, **changes)
        root = root or str(self.root)
        return sftp_destination(location, root, sender, accept_host_keys=accept_host_keys, note=self.told.append)

    def arrived(self) -> dict[str, bytes]:
        """What somebody else sees there."""
        files = [path for path in self.root.rglob("*") if path.is_file() and PARTS not in path.parts]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


@contextmanager
def host(folder: Path, *options: str) -> Iterator[Host]:
    root = folder / "there"
    root.mkdir()
    with SshServer(*options, _SFTP) as sshd:
        location = Location(
            name="instrument",
            on=True,
            kind="files",
            url="127.0.0.1",
            sshport=sshd.port,
            sshfolder=sshd.clients,
            sshkey="id_ed25519",
        )
        yield Host(sshd, root, location)


def with_shell(folder: Path) -> AbstractContextManager[Host]:
    return host(folder)


def sftp_only(folder: Path) -> AbstractContextManager[Host]:
    return host(folder, "ForceCommand internal-sftp")


def without_gnu(folder: Path) -> AbstractContextManager[Host]:
    """Its tools do what POSIX says, and no more."""
    tools = folder / "tools"
    for name, options in {"find": "*-printf*", "stat": "*--*", "head": "*--*", "sync": "-*"}.items():
        _tool(tools, name, f'case "$*" in {options}) echo "{name}: illegal option" >&2; exit 1;; esac\n')
    return host(folder, _forced(folder, f'PATH={tools}:"$PATH"'))


def _tool(folder: Path, name: str, before: str) -> None:
    """A tool that first does something else, in a folder that goes before the others."""
    path = folder / name
    folder.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\n{before}exec {shutil.which(name)} "$@"\n')
    path.chmod(0o755)


def _forced(folder: Path, before: str, before_sftp: str = "") -> str:
    """An option that has sshd do something before each command, and before it serves SFTP."""
    script = folder / "forced"
    server = next(path for path in _SERVERS if Path(path).exists())
    script.write_text(
        f'if [ "$SSH_ORIGINAL_COMMAND" = internal-sftp ]; then {before_sftp or ":"}; exec {server}; fi\n'
        f'{before}\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    return f"ForceCommand sh {script}"


HOSTS = (with_shell, without_gnu, sftp_only)


@pytest.fixture(params=HOSTS, ids=lambda way: way.__name__)
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    way: Callable[[Path], AbstractContextManager[Host]] = request.param
    with way(tmp_path) as found:
        yield found


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def whole(name: str, content: bytes = b"1;2\n", *, replace: bool = False) -> Whole:
    return Whole(name=name, content=content, sha256=sha256(content), modified_ns=MODIFIED_NS, replace=replace)


def chunks(content: bytes, before: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """`before` is told how many have gone."""
    for number, place in enumerate(range(0, len(content), CHUNK)):
        before(number)
        yield content[place : place + CHUNK]


# --- names ---


NAMES = (
    *(
        "two\nlines",
        "a\r",
        "back\\slash",
        "\\",
        "$(touch ran)",
        "`touch ran`",
        "';touch ran;'",
        '"',
        "-n",
        "*",
        " ",
        "~",
    ),
    *("zwei Wörter", "日本", "\U0001f9ea", "%s", "{}", "#", "!", "&", "\t", "\x01", "x" * 250),
)


def test_nothing_in_a_name_is_run_or_changed(there: Host) -> None:
    files = [whole(name, f"{number}".encode() * number) for number, name in enumerate(NAMES)]
    files += [replace(file, name=f"-- {file.name[:99]}/{file.name}") for file in files]
    changed = [whole(file.name, file.content + b"more", replace=True) for file in files]
    names = [file.name for file in files]
    with there.connect() as destination:
        assert destination.store(files) == [None] * len(files)
        assert destination.store(changed) == [None] * len(files)
        assert dict(destination.digests([*names, "other"])) == {file.name: file.sha256 for file in changed} | {
            "other": None
        }
        assert {found.name: found.size for found in destination.listing()} == {f.name: len(f.content) for f in changed}
        assert destination.find([*names, "other"]).keys() == set(names)
    assert there.arrived() == {file.name: file.content for file in changed}
    assert not list(there.root.rglob("ran"))
    assert not (there.root / PARTS).exists(), "something was left there"


def test_a_strangers_name_that_is_not_utf8_is_listed(there: Host) -> None:
    Path(os.fsdecode(os.fsencode(there.root) + b"/\xff.res")).write_bytes(b"1;2\n")
    with there.connect() as destination:
        (found,) = destination.listing()
        assert os.fsencode(found.name) == b"\xff.res"
        assert dict(destination.digests([found.name])) == {found.name: sha256(b"1;2\n")}
        assert destination.find([found.name, "x"]).keys() == {found.name}


def test_folders_with_more_entries_than_one_answer_holds(there: Host) -> None:
    names = [f"folder {number % 3}/{'a file with a long name ' * 4}{number}" for number in range(900)]
    for name in names:
        path = there.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with there.connect() as destination:
        assert sorted(found.name for found in destination.listing()) == sorted(names)
        assert destination.find([*names, "other"]).keys() == set(names)
        assert dict(destination.digests(names)) == dict.fromkeys(names, sha256(b"x"))


def test_a_folder_that_has_the_name_of_a_file_keeps_it(there: Host) -> None:
    (there.root / "a.res").mkdir()
    with there.connect() as destination:
        refused, stored = destination.store([whole("a.res"), whole("b.res")])
        (replaced,) = destination.store([whole("a.res", replace=True)])
    assert isinstance(refused, Occupied) and stored is None
    assert isinstance(replaced, FileRefused)
    assert there.arrived() == {"b.res": b"1;2\n"}


def test_two_files_of_one_name(there: Host) -> None:
    with there.connect() as destination:
        answers = destination.store([whole("a.res", b"1"), whole("a.res", b"2")])
    (refused,) = [answer for answer in answers if answer]
    assert isinstance(refused, Occupied)
    assert there.arrived() == {"a.res": b"1" if answers[0] is None else b"2"}


def test_files_that_cannot_be_together_do_not_hold_up_the_others(there: Host) -> None:
    files = [whole("a"), whole("a/b"), whole("c", b"3")]
    with there.connect() as destination:
        answers = destination.store(files)
    assert answers[2] is None and sum(isinstance(answer, FileRefused) for answer in answers) == 1


def test_a_time_that_sftp_cannot_write_down(there: Host) -> None:
    with there.connect() as destination:
        destination.append("p1", 0, [b"x"])
        with pytest.raises(FileRefused, match="touch the file"):
            destination.place("p1", "a.res", -(10**9), replace=False)
    assert there.arrived() == {}


# --- nothing half, nothing twice ---


def test_of_two_senders_one_gets_a_name(there: Host) -> None:
    names = [f"{number % 2}/{number}.res" for number in range(30)]

    def send(sender: str) -> list[FileRefused | None]:
        with there.connect(sender) as destination:
            started.wait()
            return destination.store([whole(name, sender.encode()) for name in names])

    started = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(send, ("site-a", "site-b"))
    for name, *answers in zip(names, one, other, strict=True):
        (refused,) = [answer for answer in answers if answer]
        assert isinstance(refused, Occupied)
        assert (there.root / name).read_bytes() == (b"site-a" if answers[0] is None else b"site-b")


def test_senders_come_and_go_beside_each_other(there: Host) -> None:
    def come_and_go(sender: str) -> None:
        for _ in range(4):
            with there.connect(sender) as destination:
                assert destination.parts() == []

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(come_and_go, ("site-a", "site-b", "site-c")))
    assert not list(there.root.iterdir()), "a folder for parts is left"


def test_a_large_file_goes_on_after_the_line_was_cut(there: Host) -> None:
    def cut(number: int) -> None:
        if number == FAR:
            there.sshd.cut()

    with (
        nothing_left_open(),
        pytest.raises(DestinationUnreachable, match="is lost"),
        there.connect() as destination,
    ):
        destination.append("p1", 0, chunks(LARGE, cut))
    with CountingProxy(there.sshd.port) as line:
        _know(there, line.port)
        with there.connect(sshport=line.port) as destination:
            (part,) = destination.parts()
            assert part.name == "p1" and 0 < part.size <= (FAR + 1) * CHUNK
            destination.append("p1", part.size, chunks(LARGE[part.size :]))
            assert line.sent < (len(LARGE) - part.size) * 1.02 + (1 << 16), "more was sent than was missing"
            assert destination.part_digest("p1") == sha256(LARGE)
            destination.place("p1", "x.bin", MODIFIED_NS, replace=False)
    assert there.arrived() == {"x.bin": LARGE}
    assert (there.root / "x.bin").stat().st_mtime_ns == MODIFIED_NS


def _know(there: Host, port: int) -> None:
    with (there.sshd.clients / "known_hosts").open("a") as known:
        known.write(f"[127.0.0.1]:{port} {there.sshd.host_key()}\n")


def test_what_a_lost_connection_still_writes_does_no_harm(there: Host) -> None:
    """As after a kill, when the system still sends what was written into the socket."""
    half, go_on = threading.Event(), threading.Event()

    def wait(number: int) -> None:
        if number == FAR:
            half.set()
            assert go_on.wait(30)

    def first() -> None:
        with there.connect() as destination:
            destination.append("p1", 0, chunks(LARGE, wait))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(first)
        assert half.wait(30)
        with there.connect() as destination:
            (part,) = destination.parts()
            middle = (len(LARGE) + part.size) // 2
            destination.append("p1", part.size, chunks(LARGE[part.size : middle]))
            go_on.set()
            destination.append("p1", middle, chunks(LARGE[middle:]))
            assert destination.part_digest("p1") == sha256(LARGE)
            destination.place("p1", "x.bin", MODIFIED_NS, replace=False)
            writing.result()
    assert there.arrived() == {"x.bin": LARGE}


def test_a_part_that_is_longer_than_was_said_is_cut(there: Host) -> None:
    with there.connect() as destination:
        destination.append("p1", 0, [b"0123456789"])
        destination.append("p1", 4, [b"xy"])
        assert destination.parts() == [Part(name="p1", size=6)]
        assert destination.part_digest("p1") == sha256(b"0123xy")


def test_a_file_that_is_not_read_to_its_end_leaves_the_connection_whole(there: Host) -> None:
    def fail(number: int) -> None:
        if number == FAR:
            raise FileRefused("it is still changing")

    with there.connect() as destination:
        with pytest.raises(FileRefused, match="still changing"):
            destination.append("p1", 0, chunks(LARGE, fail))
        destination.discard("p1")
        assert destination.store([whole("a.res"), whole("b.res")]) == [None, None]
        assert destination.parts() == []


class Slow(CountingProxy):
    """A line on which everything takes its time."""

    def _counts(self, size: int, forth: bool) -> bool:
        time.sleep(_DELAY_SECONDS)
        return super()._counts(size, forth)


def test_many_files_cost_few_round_trips(there: Host) -> None:
    files = [whole(f"{number % 3}/{number}.res") for number in range(60)]
    with Slow(there.sshd.port) as line:
        _know(there, line.port)
        with there.connect(sshport=line.port) as destination:
            began = time.monotonic()
            assert destination.store(files) == [None] * len(files)
            assert len(destination.find([file.name for file in files])) == len(files)
            assert time.monotonic() - began < len(files) * 2 * _DELAY_SECONDS, "as if each had been sent alone"


# --- the shell ---


def test_a_shell_that_sees_another_folder_is_not_used(tmp_path: Path) -> None:
    """Both know a folder `there` in their home, and they are two."""
    real, other = tmp_path / "real", tmp_path / "other"
    for folder in (real, other):
        (folder / "there").mkdir(parents=True)
    with host(tmp_path, _forced(tmp_path, f"cd {other}", f"cd {real}")) as there:
        with there.connect(root="~/there") as destination:
            destination.append("p1", 0, [LARGE])
            assert destination.part_digest("p1") == sha256(LARGE)
            destination.place("p1", "x.bin", MODIFIED_NS, replace=False)
            assert destination.store([whole("a.res"), whole("b.res")]) == [None, None]
        assert sorted(path.name for path in (real / "there").iterdir()) == ["a.res", "b.res", "x.bin"]
        assert not list((other / "there").iterdir())


def test_what_the_users_own_files_say_first_is_no_answer(tmp_path: Path) -> None:
    noise = "echo Welcome to the store; echo 5 mails >&2; printf '12\\t5\\tno file'"
    with host(tmp_path, _forced(tmp_path, noise)) as there, there.connect() as destination:
        assert destination.store([whole("a.res"), whole("b/c.res")]) == [None, None]
        assert destination.find(["a.res", "b/c.res"]).keys() == {"a.res", "b/c.res"}
        assert {found.name for found in destination.listing()} == {"a.res", "b/c.res"}
        assert dict(destination.digests(["a.res"])) == {"a.res": sha256(b"1;2\n")}


def test_a_digest_that_is_broken_there_is_not_believed(tmp_path: Path) -> None:
    _tool(tmp_path / "tools", "openssl", f"echo {'0' * 64} '*'x; exit 0\n")
    _tool(tmp_path / "tools", "sha256sum", "exit 1\n")
    with host(tmp_path, _forced(tmp_path, f'PATH={tmp_path}/tools:"$PATH"')) as there, there.connect() as destination:
        assert destination.store([whole("a.res"), whole("b.res")]) == [None, None]
        assert dict(destination.digests(["a.res", "c.res"])) == {"a.res": sha256(b"1;2\n"), "c.res": None}


def test_content_is_never_run_when_a_script_leaves_its_input(tmp_path: Path) -> None:
    with with_shell(tmp_path) as there, there.connect() as destination:
        ran = tmp_path / "ran"
        command = f"touch {shlex.quote(str(ran))}\n"
        lines = (f"{len(command)} 0\n{command}" + f"x {len(command)} 0\n{command}").encode() * 2000
        shutil.rmtree(there.root / PARTS)
        (there.root / PARTS).write_bytes(b"so that nothing can be staged there")
        with pytest.raises((FileRefused, DestinationUnreachable)):
            destination.store([whole("a.res", lines), whole("b.res", lines)])
        (there.root / PARTS).unlink()
        (there.root / PARTS / "site-a").mkdir(parents=True)
        assert destination.store([whole("c.res"), whole("d.res")]) == [None, None]
        assert not ran.exists()
        assert there.arrived() == {"c.res": b"1;2\n", "d.res": b"1;2\n"}


def test_a_command_may_work_long_and_a_dead_host_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_module, "_SILENT_SECONDS", 1.0)
    monkeypatch.setattr(sftp_module, "_SILENT_SECONDS", 1.0)
    monkeypatch.setattr(sftp_module, "_FAREWELL_SECONDS", 0.1)
    monkeypatch.setattr(shell_module, "_ALIVE", shell_module._ALIVE.replace("sleep 15", "sleep 0.2"))
    _tool(tmp_path / "tools", "sync", "sleep 3\n")
    with host(tmp_path, _forced(tmp_path, f'PATH={tmp_path}/tools:"$PATH"')) as there:
        with there.connect() as destination:
            destination.append("p1", 0, [b"x"])
            assert destination.part_digest("p1") == sha256(b"x")
        with there.connect() as destination:
            there.sshd.freeze()
            with pytest.raises(DestinationUnreachable, match="no answer in time"):
                destination.part_digest("p1")


def test_what_another_connection_staged_goes(tmp_path: Path) -> None:
    with with_shell(tmp_path) as there:
        left = there.root / PARTS / "site-a" / "batch-1" / "folder"
        left.mkdir(parents=True)
        (left / "a.res").write_bytes(b"old")
        with there.connect() as destination:
            assert destination.parts() == []
            assert list(destination.listing()) == []
        assert not (there.root / PARTS).exists()


# --- who is let in, and where ---


def test_a_host_key_that_is_not_known(there: Host) -> None:
    known = there.sshd.clients / "known_hosts"
    known.unlink()
    with pytest.raises(AccessRefused, match="not known"), there.connect():
        pass
    with there.connect(accept_host_keys=True) as destination:
        assert destination.parts() == []
    assert there.sshd.fingerprint() in there.told[-1]
    with there.connect():
        assert there.sshd.host_key() in known.read_text()


def test_a_host_key_that_has_changed(tmp_path: Path) -> None:
    with with_shell(tmp_path) as there:
        there.sshd.stop()
        there.sshd.new_host_key()
        there.sshd.start()
        with pytest.raises(AccessRefused, match="has changed"), there.connect(accept_host_keys=True):
            pass


def test_a_wrong_password(tmp_path: Path) -> None:
    with host(tmp_path, "PasswordAuthentication yes") as there:
        empty = tmp_path / "empty"
        empty.mkdir()
        shutil.copy(there.sshd.clients / "known_hosts", empty)
        changes: dict[str, Any] = {"sshfolder": empty, "sshkey": None, "sshpassword": Secret("not this one")}
        with pytest.raises(AccessRefused, match="does not let user") as refused, there.connect(**changes):
            pass
        assert "not this one" not in str(refused.value)


@pytest.fixture
def other_user(tmp_path: Path) -> Iterator[tuple[Host, dict[str, Any]]]:
    """A host whose folder belongs to somebody else than who signs in. Root may write everywhere, so it goes as one who
    has no shell."""
    as_root = os.geteuid() == 0
    with with_shell(tmp_path) as there, tempfile.TemporaryDirectory() as folder:
        if as_root:
            there.sshd.folder.chmod(0o711)
        there.root = Path(folder, "there")
        there.root.mkdir()
        Path(folder).chmod(0o755)
        there.root.chmod(0o555)
        yield there, {"sshuser": "nobody"} if as_root else {}
        there.root.chmod(0o755)


def test_a_folder_that_cannot_be_written_to(other_user: tuple[Host, dict[str, Any]]) -> None:
    there, changes = other_user
    with pytest.raises(AccessRefused, match="right to write"), there.connect(**changes):
        pass
    there.root.chmod(0o777)
    with there.connect(**changes) as destination:
        (there.root / "locked").mkdir(mode=0o555)
        refused, stored = destination.store([whole("locked/a.res"), whole("b.res")])
        if os.geteuid() or changes:
            assert isinstance(refused, FileRefused) and "locked/a.res" in str(refused)
        assert stored is None
    assert there.arrived() == {"b.res": b"1;2\n"}


def test_a_folder_that_is_not_there(there: Host) -> None:
    with pytest.raises(DestinationUnreachable, match="has no folder"), there.connect(root=str(there.root / "none")):
        pass


def test_a_disk_that_is_full(there: Host) -> None:
    with there.connect() as destination:
        (there.root / PARTS / "site-a" / "p1").symlink_to("/dev/full")
        with pytest.raises(DestinationUnreachable, match=r"no room|is its disk mounted, and not full"):
            destination.append("p1", 0, chunks(LARGE))
        (there.root / PARTS / "site-a" / "p1").unlink()
        assert destination.store([whole("a.res"), whole("b.res")]) == [None, None]
