"""synchronise.conf: a new marker changes nothing else in it, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.config import (
    load,
    read_lastupdate,
    write_lastupdate,
)
from pusher.errors import ConfigError
from tests.configs import EXAMPLE, MARKERS, MINIMAL, put, with_central


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "synchronise.conf"


# --- the marker -----------------------------------------------------------------------------------------------------

CAREFUL = """\
; the house
[locations]
central = 1  #Push
lab=0
[lab]
resturl = http://lab/
lastupdate = 2020-01-01  ; the lab's
[central] ; main
\tresturl: http://central/
  LastUpdate  =\tNone   ; delete it, or None   # twice
\ttoken = env:T"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_only_the_value_changes(path: Path, newline: str, bom: str) -> None:
    text = bom + CAREFUL.replace("\n", newline)
    put(path, text)
    write_lastupdate(path, "central", "2026-01-31 23:59:59")
    assert path.read_bytes() == text.replace("None   ; d", "2026-01-31 23:59:59   ; d").encode()
    assert read_lastupdate(path, "central") == "2026-01-31 23:59:59"
    assert read_lastupdate(path, "lab") == "2020-01-01"
    write_lastupdate(path, "central", None)
    assert path.read_bytes() == text.encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[c]\nlastupdate =\n", "[c]\nlastupdate = 2026-01-31\n"),
        ("[c]\nlastupdate = ; all\n", "[c]\nlastupdate = 2026-01-31 ; all\n"),
        ("[c]", "[c]\nlastupdate = 2026-01-31"),
        ("[c]\n", "[c]\nlastupdate = 2026-01-31\n"),
        ("[c]\r\n  a = 1\r\n\r\n[d]\r\n", "[c]\r\n  a = 1\r\n  lastupdate = 2026-01-31\r\n\r\n[d]\r\n"),
        (
            "[c]\na = 1\n; lastupdate = None\n\n; of d\n[d]\n",
            "[c]\na = 1\n; lastupdate = None\nlastupdate = 2026-01-31\n\n; of d\n[d]\n",
        ),
        ("[c]\na = 1\n; of d\n[d]\n", "[c]\na = 1\nlastupdate = 2026-01-31\n; of d\n[d]\n"),
        ("[c]\na = 1\n\n\n# end", "[c]\na = 1\nlastupdate = 2026-01-31\n\n\n# end"),
        ("[c]\na = 1\n# end", "[c]\na = 1\n# end\nlastupdate = 2026-01-31"),
        ("[d]\nlastupdate = None\n[c]\n[e]\n", "[d]\nlastupdate = None\n[c]\nlastupdate = 2026-01-31\n[e]\n"),
    ],
)  # fmt: skip
def test_a_missing_value_or_key_is_added(path: Path, before: str, after: str) -> None:
    put(path, before)
    write_lastupdate(path, "c", "2026-01-31")
    assert path.read_bytes() == after.encode()


NEWLINE = st.sampled_from(["\n", "\r\n"])
BLANK = st.text(st.sampled_from(" \t"), max_size=3)
WORDS = st.text(st.sampled_from("ab ;#=:[]%é\u2028\x0b\x85"), max_size=12)
NOTE = st.builds(
    "{}{}{}{}".format, BLANK, st.sampled_from(["", ";", "#", "; lastupdate = None", "#[central]"]), BLANK, NEWLINE
)
OTHER = st.builds(
    "{}{}{}={}x{}{}".format, BLANK, st.sampled_from(["a", "lastupdates", "last"]), BLANK, BLANK, WORDS, NEWLINE
)
REMARK = st.one_of(
    st.just(""), st.builds(" {}{}{}".format, BLANK, st.sampled_from(";#"), WORDS.map(lambda w: w.strip()))
)
BODY = st.lists(st.one_of(NOTE, OTHER), max_size=4).map("".join)
MARKER = st.sampled_from([*MARKERS, "None"])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str, str]:
    """A file as (what stands before the value, the value, what stands behind it), in [central]."""
    top = draw(st.sampled_from(["", "\ufeff"])) + draw(st.lists(NOTE, max_size=3).map("".join))
    other = st.builds(
        "[{}]{}{}lastupdate = 2020-02-20 ; x\n{}".format, st.sampled_from(["lab", "table R"]), NEWLINE, BODY, BODY
    )
    header = f"{draw(BLANK)}[central]{draw(REMARK)}{draw(NEWLINE)}"
    key = draw(BLANK) + draw(st.sampled_from(["lastupdate", "LastUpdate"])) + draw(BLANK) + draw(st.sampled_from("=:"))
    before = top + draw(st.one_of(st.just(""), other)) + header + draw(BODY) + key + draw(BLANK)
    behind = draw(BLANK) + draw(REMARK)
    if draw(st.booleans()):
        behind += draw(NEWLINE) + draw(BODY) + draw(st.one_of(st.just(""), other))
    return before, draw(MARKER), behind


@given(file=files(), value=MARKER)
def test_any_file_keeps_every_other_byte(file: tuple[str, str, str], value: str) -> None:
    before, old, behind = file
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "synchronise.conf", before + old + behind, 0o640)
        assert read_lastupdate(path, "central") == (None if old == "None" else old)
        write_lastupdate(path, "central", value)
        assert path.read_bytes() == (before + value + behind).encode()
        assert os.listdir(folder) == ["synchronise.conf"]


@given(file=files(), value=MARKER)
def test_any_file_without_the_key_gets_one_line(file: tuple[str, str, str], value: str) -> None:
    before, _, behind = file
    text = before[: before.rindex("\n") + 1] + behind.partition("\n")[2]
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "synchronise.conf", text)
        write_lastupdate(path, "central", value)
        old, new = text.encode().split(b"\n"), path.read_bytes().split(b"\n")
        assert read_lastupdate(path, "central") == (None if value == "None" else value)
    added = [i for i in range(len(new)) if new[:i] + new[i + 1 :] == old]
    assert any(new[i].strip() == f"lastupdate = {value}".encode() for i in added)


def test_mode_owner_and_link_are_kept(path: Path) -> None:
    real = path.parent / "elsewhere" / "real.conf"
    real.parent.mkdir()
    put(real, MINIMAL, 0o640)
    if os.geteuid() == 0:
        os.chown(real, 1234, 2345)
    before = real.stat()
    path.symlink_to(Path("elsewhere") / "real.conf")
    write_lastupdate(path, "central", "2026-01-31")
    after = real.stat()
    assert path.is_symlink() and not real.is_symlink()
    assert read_lastupdate(real, "central") == "2026-01-31"
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert os.listdir(real.parent) == ["real.conf"]


def test_an_equal_value_is_not_written(path: Path) -> None:
    put(path, with_central("lastupdate = 2026-01-31"))
    before = path.stat()
    write_lastupdate(path, "central", "2026-01-31")
    assert path.stat().st_ino == before.st_ino
    write_lastupdate(path, "central", "2026-02-01")
    assert path.stat().st_ino != before.st_ino


def test_a_section_or_file_that_is_gone(path: Path) -> None:
    put(path, MINIMAL)
    for section in ("lab", "Central", ""):
        with pytest.raises(ConfigError, match=rf"no section \[{section}\]"):
            write_lastupdate(path, section, "2026-01-31")
        with pytest.raises(ConfigError, match=rf"no section \[{section}\]"):
            read_lastupdate(path, section)
    assert path.read_text() == MINIMAL
    path.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        write_lastupdate(path, "central", None)


@pytest.mark.parametrize("text", ["2026-01-31 ; x", "2026-01-31\n[evil]", " 2026-01-31"])
def test_a_text_that_would_spoil_the_file_is_not_written(path: Path, text: str) -> None:
    put(path, MINIMAL)
    with pytest.raises(ValueError, match="lastupdate"):
        write_lastupdate(path, "central", text)
    assert path.read_text() == MINIMAL


def test_an_edit_during_the_write_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator saves while our temporary file goes to the disk: the moment is met by standing in for fsync."""
    put(path, MINIMAL)
    fsync = os.fsync
    edits = iter([MINIMAL + "; first edit\n", MINIMAL + "token = env:T\n"])

    def save_meanwhile(handle: int) -> None:
        if edited := next(edits, ""):
            path.write_text(edited)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", save_meanwhile)
    write_lastupdate(path, "central", "2026-01-31")
    assert path.read_text() == MINIMAL + "token = env:T\nlastupdate = 2026-01-31\n"
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, MINIMAL)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot write .*: No space left on device"):
        write_lastupdate(path, "central", "2026-01-31")
    assert path.read_text() == MINIMAL
    assert os.listdir(path.parent) == [path.name]


def test_locations_write_side_by_side(path: Path) -> None:
    names = ["a", "b", "c", "d"]
    put(path, "".join(f"[{name}]\nlastupdate = None ; {name}\n" for name in names))

    def push(name: str) -> None:
        for day in range(1, 29):
            write_lastupdate(path, name, f"2026-01-{day:02}")

    threads = [threading.Thread(target=push, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "".join(f"[{name}]\nlastupdate = 2026-01-28 ; {name}\n" for name in names)


WRITER = """
import sys
from pathlib import Path
from pusher.config import write_lastupdate
print("ready", flush=True)
while True:
    for day in range(1, 29):
        write_lastupdate(Path(sys.argv[1]), "central", f"2026-01-{day:02}")
"""


def test_a_kill_leaves_a_whole_file(path: Path) -> None:
    padding = "; " + "x" * 100_000  # so that a write in place would be seen half done
    put(path, with_central(f"lastupdate = 2026-01-01\n{padding}\n; end"))
    (path.parent / f".{path.name}.left-over").write_text("half a fi")
    whole = re.compile(re.escape(path.read_text()).replace("2026\\-01\\-01", r"2026-01-\d\d"))
    for values in (1, 5, 20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=EXAMPLE.parent)
        assert writer.stdout and writer.stdout.readline() == b"ready\n"
        seen: set[str] = set()
        while len(seen) < values:
            seen.add(path.read_text())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert all(whole.fullmatch(text) for text in seen | {path.read_text()})
    write_lastupdate(path, "central", "2027-01-01")
    assert load(path, {}).locations[0].lastupdate == "2027-01-01"
