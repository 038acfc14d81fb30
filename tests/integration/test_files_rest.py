"""Files that go to central over HTTP: they go on where a line broke, many go at once, and none is half."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path
from urllib.parse import quote

import pytest

from pusher.central.fileparts import Parts
from pusher.central.filestore import FileStore
from pusher.errors import DestinationUnreachable, FileRefused, Occupied, SequenceConflict, UsageError
from pusher.files.destination import BATCH_FILES, Part
from pusher.files.rest import RestDestination
from pusher.wire.files import Names, Placing
from tests.files_central import MODIFIED_NS, FilesCentral, SiteThere, files_central, sha256, whole
from tests.files_site import Instrument, digests
from tests.http_central import detail
from tests.stage import CentralService, pusher, wait_until

MB = 1 << 20
CONTENT = os.urandom(3 * MB) + b"end"
_numbers = count(1)


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilesCentral]:
    with files_central(tmp_path_factory.mktemp("central")) as service:
        yield service


@pytest.fixture
def site(central: FilesCentral) -> SiteThere:
    """A site that has nothing there yet."""
    return central.site(f"site-{next(_numbers)}")


@pytest.fixture
def there(site: SiteThere) -> Iterator[RestDestination]:
    with closing(site.connect()) as destination:
        yield destination


# --- a line that breaks ---


def test_what_came_before_a_cut_is_kept_to_the_last_byte(site: SiteThere, there: RestDestination) -> None:
    host, port = site.central.resturl.split("/")[2].split(":")
    come = 2 * MB + 12345
    with socket.create_connection((host, int(port))) as line:
        head = (
            "PATCH /files/v1/parts/p1 HTTP/1.1\r\nHost: central\r\nPusher-Sender: instrument\r\nUpload-Offset: 0\r\n"
            f"Authorization: Bearer {site.token}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        )
        line.sendall(head.encode() + CONTENT[:come])
    wait_until(lambda: there.parts() == [Part(name="p1", size=come)])
    left = [CONTENT[come:]]
    there.append("p1", come, left)
    assert there.part_digest("p1") == sha256(CONTENT)
    there.place("p1", "x.res", MODIFIED_NS, replace=False)
    assert (site.folder / "x.res").read_bytes() == CONTENT


def test_a_source_that_fails_in_the_midst_leaves_a_connection_that_works(there: RestDestination) -> None:
    def chunks() -> Iterator[bytes]:
        yield CONTENT[:MB]
        raise FileRefused("the file went away")

    with pytest.raises(FileRefused, match="went away"):
        there.append("p1", 0, chunks())
    wait_until(lambda: there.parts() == [Part(name="p1", size=MB)])
    there.append("p1", MB, [CONTENT[MB:]])
    assert there.part_digest("p1") == sha256(CONTENT)


def test_chunks_of_any_size_go_in_requests_that_grow(central: FilesCentral, there: RestDestination) -> None:
    content = os.urandom(21 * MB)
    bounds = [0, 1, 70_000, 5 * MB + 3, 5 * MB + 3, 20 * MB, len(content)]
    with central.requests("parts/{part}", 5):  # of 1, 2, 4, 8 and 6 MB
        there.append("p1", 0, (content[start:end] for start, end in pairwise(bounds)))
    assert there.part_digest("p1") == sha256(content)


def test_another_offset_is_told_and_nothing_written(site: SiteThere, there: RestDestination) -> None:
    there.append("p1", 0, [b"12345"])
    for offset in (3, 6):
        answer = site.call("PATCH", "parts/p1", b"xyz", Upload_Offset=str(offset))
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "5")
        assert f"has 5 bytes, not {offset}" in detail(answer)
    assert site.call("PATCH", "parts/none", b"xyz", Upload_Offset="3").headers["Upload-Offset"] == "0"
    with pytest.raises(DestinationUnreachable, match="has 5 bytes, not 4"):
        there.append("p1", 4, [b"xyz"])
    assert (site.parts / "p1").read_bytes() == b"12345"


def test_a_request_that_was_given_up_writes_no_more(site: SiteThere) -> None:
    """Its line is dead, and central has not noticed yet."""
    parts = Parts(site.central.root, site.name, "instrument")
    with closing(parts.writer("p1", 0)) as dead, closing(parts.writer("p1", 0)) as living:
        living.write(b"new")
        with pytest.raises(SequenceConflict):
            dead.write(b"long ago")
        with closing(parts.writer("p1", 3)) as another:
            another.write(b"er")
        with pytest.raises(SequenceConflict) as conflict:
            living.write(b"...")
        assert conflict.value.expected == 5
    assert (site.parts / "p1").read_bytes() == b"newer"


def test_what_became_a_file_is_not_written_to(site: SiteThere, there: RestDestination) -> None:
    parts = Parts(site.central.root, site.name, "instrument")
    with closing(parts.writer("p1", 0)) as writer:
        writer.write(b"whole")
        there.place("p1", "a.res", MODIFIED_NS, replace=False)
        with pytest.raises(SequenceConflict):
            writer.write(b" and more")
    assert (site.folder / "a.res").read_bytes() == b"whole"


def test_what_is_given_its_name_is_what_was_proven(site: SiteThere, there: RestDestination) -> None:
    """A request that was given up is at it still, while the part begins anew."""
    parts = Parts(site.central.root, site.name, "instrument")
    there.append("p1", 0, [b"first"])
    with ThreadPoolExecutor() as another:
        with parts.proven("p1", there.part_digest("p1")) as part:
            anew = another.submit(there.append, "p1", 0, [b"second"])
            with pytest.raises(TimeoutError):
                anew.result(0.3)
            assert os.pread(part.handle, 10, 0) == b"first"
        anew.result()
        assert (site.parts / "p1").read_bytes() == b"second"
        with (site.parts / "p1").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            placing = another.submit(there.place, "p1", "a.res", MODIFIED_NS, replace=False)
            wait_until((site.parts / "p1.sha256").exists)
            with pytest.raises(TimeoutError):
                placing.result(0.3)
            (site.parts / "p1").unlink()
            (site.parts / "p1").write_bytes(b"third")
        with pytest.raises(FileRefused, match="the part p1 is gone"):
            placing.result()
    assert digests(site.folder) == {}


# --- proven, then named ---


def test_a_file_has_its_own_time_and_size(site: SiteThere, there: RestDestination) -> None:
    there.append("p1", 0, [b"new"])
    there.place("p1", "a/new.res", MODIFIED_NS, replace=False)
    assert (site.folder / "a/new.res").stat().st_mtime_ns == MODIFIED_NS
    there.append("p1", 0, [b"of 1969"])
    there.place("p1", "a/old.res", -1_500_000_000, replace=False)
    assert there.find(["a/old.res"])["a/old.res"].modified == -2


def test_what_is_not_what_it_should_be_gets_no_name(site: SiteThere, there: RestDestination) -> None:
    there.append("p1", 0, [b"true"])
    wrong = Placing(part="p1", name="a.res", modified_ns=0, sha256=sha256(b"false"), replace=False)
    answer = site.call("POST", "place", wrong)
    assert answer.status_code == 422 and f"has the SHA-256 {sha256(b'true')}" in detail(answer)
    assert there.find(["a.res"]) == {}
    assert there.parts() == [Part(name="p1", size=4)]


@pytest.mark.parametrize("again", [True, False])
def test_a_proof_does_not_outlive_its_content(site: SiteThere, there: RestDestination, again: bool) -> None:
    there.append("p1", 0, [b"first"])
    first = there.part_digest("p1")
    there.append("p1", 0 if again else 5, [b"other"])
    placing = Placing(part="p1", name="a.res", modified_ns=0, sha256=first, replace=False)
    assert site.call("POST", "place", placing).status_code == 422
    there.place("p1", "a.res", MODIFIED_NS, replace=False)
    assert (site.folder / "a.res").read_bytes() == (b"other" if again else b"firstother")
    assert list(site.parts.iterdir()) == []


def test_a_part_that_is_gone(there: RestDestination) -> None:
    with pytest.raises(FileRefused, match="the part p1 is gone"):
        there.part_digest("p1")
    with pytest.raises(FileRefused, match="the part p1 is gone"):
        there.place("p1", "a.res", MODIFIED_NS, replace=False)


def test_the_power_failed_between_two_names(site: SiteThere, there: RestDestination) -> None:
    """The part has its name as a file already, and its own one still."""
    there.append("p1", 0, [b"content"])
    os.link(site.parts / "p1", site.folder / "a.res")
    refused = site.call("PATCH", "parts/p1", b"more", Upload_Offset="7")
    assert refused.status_code == 409
    there.place("p1", "a.res", MODIFIED_NS, replace=False)
    assert there.parts() == []
    assert (site.folder / "a.res").read_bytes() == b"content"


def test_many_small_files_are_one_request(central: FilesCentral, site: SiteThere, there: RestDestination) -> None:
    files = [whole(f"{number % 7}/{number}.res", str(number).encode() * 100) for number in range(BATCH_FILES)]
    files[3] = whole("3/3.res", b"other")
    files[10] = whole("3/3.res", b"too late")
    with central.requests("store", 1):
        refused = there.store(files)
    assert [number for number, each in enumerate(refused) if each] == [10]
    assert isinstance(refused[10], Occupied)
    assert digests(site.folder) == {file.name: file.sha256 for file in files if file.content != b"too late"}
    assert {path.stat().st_mtime_ns for path in site.folder.rglob("*.res")} == {MODIFIED_NS}
    assert list(site.parts.iterdir()) == []
    assert dict(there.digests([file.name for file in files])) == digests(site.folder)


def test_more_than_one_request_holds(central: FilesCentral, site: SiteThere, there: RestDestination) -> None:
    files = [whole(f"{number}.res", os.urandom(250_000)) for number in range(32)]  # which nothing compresses
    with central.requests("store", 4):  # of 1, 2 and 4 MB, and the rest
        assert there.store(files) == [None] * 32
    assert digests(site.folder) == {file.name: file.sha256 for file in files}


# --- looking ---


def test_a_listing_comes_page_by_page(site: SiteThere, there: RestDestination) -> None:
    names = ["a", "b/c", "b/d/e", "b/d/f", "b/g", "b-c", "b.c", "c/x", "ü/日", "z"]
    assert there.store([whole(name) for name in names]) == [None] * len(names)
    (site.folder / "empty/of/files").mkdir(parents=True)
    for limit in (1, 2, 3, 9, 10, 11):
        found, after = [], ""
        while after is not None:
            answer = site.call("GET", f"list?limit={limit}&after={quote(after)}").json()
            found += [file["name"] for file in answer["files"]]
            assert len(answer["files"]) <= limit
            after = answer["after"]
        assert found == sorted(names, key=lambda name: name.split("/")), limit
    assert site.call("GET", "list?after=b/d/eee").json()["files"][0]["name"] == "b/d/f"
    assert site.call("GET", "list?after=b").json()["files"][0]["name"] == "b/c"
    assert site.call("GET", "list?after=%C3%BD").json() == {"files": [], "after": None}


def test_a_hash_that_takes_its_time_says_that_it_comes(site: SiteThere, there: RestDestination) -> None:
    there.store([whole("small.res", b"small")])
    with (site.folder / "large.res").open("wb") as large:
        large.truncate(200 * MB)
    names = ["small.res", "large.res", "none.res"]
    answer = site.call("POST", "digests", Names(names=names))
    small, *waiting, large_line, none, end = answer.text.split("\n")
    zeros = hashlib.sha256(bytes(200 * MB)).hexdigest()
    assert (small, large_line, none, end) == (f'"{sha256(b"small")}"', f'"{zeros}"', "null", "")
    assert waiting == [""] * 3
    assert list(there.digests(names)) == [("small.res", sha256(b"small")), ("large.res", zeros), ("none.res", None)]


def test_whoever_asks_for_hashes_may_stop_listening(there: RestDestination) -> None:
    there.store([whole(f"{number}.res", bytes(number)) for number in range(200)])
    hashes = there.digests([f"{number}.res" for number in range(200)])
    assert next(hashes) == ("0.res", sha256(b""))
    hashes.close()  # type: ignore[attr-defined]
    assert len(there.find(["1.res", "2.res"])) == 2


def test_more_names_than_one_request_takes(there: RestDestination) -> None:
    names = [f"{number}.res" for number in range(2001)]
    there.store([whole("0.res"), whole("2000.res")])
    assert set(there.find(names)) == {"0.res", "2000.res"}
    found = list(there.digests(names))
    assert [name for name, _ in found] == names
    assert [name for name, digest in found if digest] == ["0.res", "2000.res"]


# --- no room ---


@pytest.fixture
def two_megabytes(site: SiteThere) -> Iterator[None]:
    """The disk on which the files of the site are."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    site.folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size=2m,uid={os.geteuid()}", "tmpfs", str(site.folder)]
    subprocess.run([*root, *mount], check=True)
    yield
    subprocess.run([*root, "umount", str(site.folder)], check=True)


@pytest.mark.usefixtures("two_megabytes")
def test_a_full_disk_is_said_and_what_was_there_stays(site: SiteThere, there: RestDestination) -> None:
    assert there.store([whole("a.res")]) == [None]
    with pytest.raises(DestinationUnreachable, match="no room for files at central: No space left on device; free"):
        there.append("p1", 0, [CONTENT])
    (part,) = there.parts()
    assert 1 * MB < part.size < 2 * MB
    with pytest.raises(DestinationUnreachable, match="no room"):
        there.store([whole(f"{number}.res", CONTENT[: MB // 2]) for number in range(4)])
    assert site.call("PATCH", "parts/p2", CONTENT, Upload_Offset="0").status_code == 507
    there.discard("p1")
    there.discard("p2")
    assert list(site.parts.iterdir()) == []
    assert there.store([whole("b.res", CONTENT[:MB])]) == [None]
    assert {"a.res", "b.res"} <= set(digests(site.folder))


# --- the command ---


def test_a_site_sends_its_files(tmp_path: Path, central: FilesCentral) -> None:
    there = central.site("pc-7")
    site = Instrument(tmp_path / "site", to=central.resturl, extra="token = file:token")
    (site.folder / "token").write_text(there.token)
    large = site.write("a/large.res", CONTENT)
    for number in range(30):
        site.write(f"b/{number}.res", str(number).encode())
    outcome = site.run()
    assert (outcome.error, outcome.exit_code, site.held()) == (None, 0, [])
    assert digests(there.folder) == site.written()
    assert (there.folder / "a/large.res").stat().st_mtime_ns == large.stat().st_mtime_ns
    assert not [path for path in (there.folder / ".pusher").rglob("*") if path.is_file()]
    again = site.run()
    assert again.files and (again.files.copied, again.files.unchanged) == (0, 31)


def test_serve_takes_files_and_goes_on_after_its_death(tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    log = tmp_path / "log"
    url = f"sqlite:///{tmp_path / 'central.db'}"
    with (
        CentralService(url, options=["--files", str(root)], log=log) as service,
        closing(RestDestination(service.resturl, service.token("north"), None, "instrument")) as there,
    ):

        def cut() -> Iterator[bytes]:
            yield CONTENT[: 2 * MB]
            wait_until((root / "north/.pusher/instrument/p1").exists)
            service.kill()
            yield CONTENT[2 * MB :]

        with pytest.raises(DestinationUnreachable):
            there.append("p1", 0, cut())
        service.start()
        (part,) = there.parts()
        assert MB <= part.size <= 2 * MB
        there.append("p1", part.size, [CONTENT[part.size :]])
        assert there.part_digest("p1") == sha256(CONTENT)
        service.kill()
        service.start()
        there.place("p1", "a.res", MODIFIED_NS, replace=False)
        assert digests(root / "north") == {"a.res": sha256(CONTENT)}
    assert "Traceback" not in log.read_text()


def test_serve_refuses_a_folder_that_is_no_place_for_files(tmp_path: Path) -> None:
    done = pusher("serve", "--files", tmp_path / "none", "--port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert f"--files: there is no folder {tmp_path / 'none'}; make it, or mount its disk" in done.stderr
    with pytest.raises(UsageError, match=r"/proc: .*; name a folder that central may write to"):
        FileStore(Path("/proc")).check()
    FileStore(tmp_path).check()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_all_sites_is_gone(tmp_path: Path) -> None:
    with files_central(tmp_path) as central, closing(central.site("north").connect()) as there:
        central.root.rename(tmp_path / "elsewhere")
        with pytest.raises(DestinationUnreachable, match="folder of files is gone; make it, or mount its disk") as gone:
            there.find(["a.res"])
        assert gone.value.retry_after_seconds == 10
