"""SharePoint as a destination, against a server that keeps to the rules of Graph: what the contract does not say."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pusher.errors import DestinationUnreachable, FileRefused, Occupied, SourceUnreachable
from pusher.files.destination import Found, Part, Whole
from pusher.files.sharepoint import CHUNK_BYTES, PUT_BYTES, SharePoint
from tests.sharepoint_library import UNIT, Library
from tests.sharepoint_stub import Stub, sharepoint_stub

MODIFIED = 1_700_000_000
LARGE = os.urandom(2 * CHUNK_BYTES + 12_345)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with sharepoint_stub() as running:
        yield running


@pytest.fixture
def library(stub: Stub) -> Library:
    return stub.library


@pytest.fixture
def there(stub: Stub) -> Iterator[SharePoint]:
    destination = stub.connect()
    stub.library.asked.clear()
    yield destination
    destination.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def whole(name: str, content: bytes = b"1;2\n", *, replace: bool = False, modified_ns: int = MODIFIED * 10**9) -> Whole:
    return Whole(name=name, content=content, sha256=sha256(content), modified_ns=modified_ns, replace=replace)


def put(there: SharePoint, name: str, content: bytes, *, replace: bool = False) -> None:
    there.append("p1", 0, [content])
    assert there.part_digest("p1") == sha256(content)
    there.place("p1", name, MODIFIED * 10**9, replace=replace)


def methods(library: Library) -> Counter[str]:
    return Counter(method for method, _ in library.asked)


# --- uploads in ranges ---


def test_an_upload_that_is_cut_twice_sends_each_byte_once(stub: Stub, library: Library) -> None:
    """Once in the midst of a range, once before the answer to one; each time another run goes on."""
    sessions: dict[str, str] = {}
    library.lose_answers("PUT", "/upload/", skip=0)
    with pytest.raises(DestinationUnreachable, match="cannot be reached"):
        stub.connect(sessions=sessions).append("p1", 0, [LARGE])
    library.cut_after_bytes = CHUNK_BYTES // 2
    there = stub.connect(sessions=sessions)
    assert there.parts() == [Part(name="p1", size=CHUNK_BYTES)]
    with pytest.raises(DestinationUnreachable, match="cannot be reached"):
        there.append("p1", CHUNK_BYTES, [LARGE[CHUNK_BYTES:]])
    there = stub.connect(sessions=sessions)
    assert there.parts() == [Part(name="p1", size=CHUNK_BYTES)]
    there.append("p1", CHUNK_BYTES, [LARGE[CHUNK_BYTES : CHUNK_BYTES + 1], LARGE[CHUNK_BYTES + 1 :]])
    assert there.part_digest("p1") == sha256(LARGE)
    there.place("p1", "a/x.res", MODIFIED * 10**9, replace=False)
    assert library.files() == {"a/x.res": LARGE}
    assert library.file_bytes == len(LARGE)
    assert library.body_bytes < len(LARGE) + CHUNK_BYTES
    assert sessions == {}


def test_the_answer_to_the_last_range_is_lost(stub: Stub, library: Library) -> None:
    sessions: dict[str, str] = {}
    library.lose_answers("PUT", "/upload/", skip=2)
    with pytest.raises(DestinationUnreachable):
        stub.connect(sessions=sessions).append("p1", 0, [LARGE])
    there = stub.connect(sessions=sessions)
    assert there.parts() == [Part(name="p1", size=len(LARGE))]
    there.append("p1", len(LARGE), [])
    assert there.part_digest("p1") == sha256(LARGE)
    assert library.file_bytes == len(LARGE)


@pytest.mark.parametrize("status", [401, 404, 410])
def test_an_upload_that_ran_out_begins_anew(stub: Stub, library: Library, status: int) -> None:
    """Also 401: the permission in its address has a time of its own."""
    sessions: dict[str, str] = {}
    library.fail(500, "PUT", "/upload/", skip=1)
    with pytest.raises(DestinationUnreachable):
        stub.connect(sessions=sessions).append("p1", 0, [LARGE])
    there = stub.connect(sessions=sessions)
    library.fail(status, "GET", "/upload/")
    assert there.parts() == [] and sessions == {}
    put(there, "x.res", LARGE)
    assert library.files() == {"x.res": LARGE}


def test_an_upload_that_runs_out_on_the_way(there: SharePoint, library: Library) -> None:
    library.fail(404, "PUT", "/upload/", skip=1)
    with pytest.raises(DestinationUnreachable, match="begins anew"):
        there.append("p1", 0, [LARGE])
    assert there.parts() == []
    with pytest.raises(DestinationUnreachable, match="begins anew"):
        there.append("p1", CHUNK_BYTES, [b"x"])


def test_an_upload_that_begins_anew_gives_up_the_one_before(there: SharePoint, library: Library) -> None:
    library.fail(500, "PUT", "/upload/", skip=1)
    with pytest.raises(DestinationUnreachable):
        there.append("p1", 0, [LARGE])
    assert len(library.sessions) == 1
    put(there, "x.res", b"now")
    assert library.sessions == {} and library.files() == {"x.res": b"now"}


def test_what_is_discarded_leaves_no_upload_behind(there: SharePoint, library: Library) -> None:
    library.fail(500, "PUT", "/upload/", skip=1)
    with pytest.raises(DestinationUnreachable):
        there.append("p1", 0, [LARGE])
    there.append("p2", 0, [b"x"])
    there.discard("p1")
    there.discard("p2")
    assert there.parts() == [] and library.sessions == {}


@pytest.mark.parametrize("size", [1, UNIT, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
def test_the_ends_of_ranges(there: SharePoint, library: Library, size: int) -> None:
    put(there, "x.res", LARGE[:size])
    assert library.files() == {"x.res": LARGE[:size]}
    assert library.file_bytes == size


def test_another_upload_at_the_address_is_noticed(stub: Stub, library: Library) -> None:
    sessions: dict[str, str] = {}
    library.fail(500, "PUT", "/upload/", skip=1)
    there = stub.connect(sessions=sessions)
    with pytest.raises(DestinationUnreachable):
        there.append("p1", 0, [LARGE])
    with pytest.raises(DestinationUnreachable, match="not the next"):
        there.append("p1", 2 * CHUNK_BYTES, [LARGE[2 * CHUNK_BYTES :]])


def test_a_range_that_did_not_come_is_noticed(
    there: SharePoint, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "status", lambda _: {"nextExpectedRanges": [f"{UNIT}-"]})
    with pytest.raises(DestinationUnreachable, match="waits for other bytes"):
        there.append("p1", 0, [LARGE])


def test_no_room_for_a_copy_here(stub: Stub, library: Library) -> None:
    """A file is laid aside until its size is known."""
    there = stub.connect(spool=Path("/no/such/folder"))
    there.append("p1", 0, [b"small ones are held in memory"])
    with pytest.raises(SourceUnreachable, match=r"/no/such/folder: .*free some room"):
        there.append("p2", 0, [LARGE])
    there.close()


# --- proof ---


@pytest.mark.parametrize(
    ("hashes", "read_back"), [(("sha256Hash", "quickXorHash"), 0), (("quickXorHash",), 0), ((), 2)]
)
def test_a_small_file_takes_two_requests_where_sharepoint_gives_a_hash(
    there: SharePoint, library: Library, hashes: tuple[str, ...], read_back: int
) -> None:
    library.hashes = hashes
    assert there.store([whole("a.res")]) == [None]
    library.asked.clear()
    assert there.store([whole("b.res")]) == [None]
    assert methods(library) == Counter(PUT=1, PATCH=1, GET=read_back)


@pytest.mark.parametrize(("hashes", "read_back"), [(("sha256Hash",), 0), (("quickXorHash",), 2), ((), 2)])
def test_a_large_file_is_read_back_unless_sharepoint_has_its_sha256(
    there: SharePoint, library: Library, hashes: tuple[str, ...], read_back: int
) -> None:
    library.hashes = hashes
    there.append("p1", 0, [LARGE])
    library.asked.clear()
    assert there.part_digest("p1") == sha256(LARGE)
    there.place("p1", "x.res", MODIFIED * 10**9, replace=False)
    assert methods(library) == Counter(PATCH=1, GET=read_back)


@pytest.mark.parametrize("hashes", [("sha256Hash",), ("quickXorHash",), ()])
def test_what_sharepoint_changes_is_never_placed(there: SharePoint, library: Library, hashes: tuple[str, ...]) -> None:
    """As it does with some documents, into which it writes."""
    library.hashes = hashes
    library.spoils = lambda content: content + b"<meta>"
    (refused,) = there.store([whole("a.docx")])
    assert isinstance(refused, FileRefused) and "reads otherwise" in str(refused)
    there.append("p1", 0, [LARGE])
    assert there.part_digest("p1") != sha256(LARGE)
    there.discard("p1")
    assert library.files() == {} and there.parts() == []


def test_a_hash_that_is_none_is_not_believed(
    there: SharePoint, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(there, "x.res", b"1")
    shown = library.shown
    monkeypatch.setattr(library, "shown", lambda entry: {**shown(entry), "file": {"hashes": {"sha256Hash": "soon"}}})
    assert list(there.digests(["x.res"])) == [("x.res", sha256(b"1"))]


# --- names ---


@pytest.mark.parametrize("name", ["a b/ü ñ.csv", "#1 100%.csv", "it's 50%25/x&y=z;+~.csv", "日本/語.res", "-rf", "..x"])
def test_any_name(there: SharePoint, library: Library, name: str) -> None:
    assert there.store([whole(name)]) == [None]
    put(there, f"{name}2", b"2")
    assert library.files() == {name: b"1;2\n", f"{name}2": b"2"}
    assert there.find([name]) == {name: Found(name=name, size=4, modified=MODIFIED)}
    assert {found.name for found in there.listing()} == {name, f"{name}2"}


def test_a_name_is_one_in_any_case(there: SharePoint, library: Library) -> None:
    assert there.store([whole("Raw/A.res"), whole("raw/b.res")]) == [None, None]
    assert there.find(["RAW/a.RES", "raw/B.res"]).keys() == {"RAW/a.RES", "raw/B.res"}
    (refused,) = there.store([whole("raw/a.RES")])
    assert isinstance(refused, Occupied)
    assert library.files() == {"Raw/A.res": b"1;2\n", "Raw/b.res": b"1;2\n"}


def test_a_name_that_sharepoint_does_not_have(there: SharePoint, library: Library) -> None:
    refused, stored, deep = there.store([whole("a_vti_b.res"), whole("b.res"), whole("x/" * 250 + "c.res")])
    assert isinstance(refused, FileRefused) and "a_vti_b.res is invalid" in str(refused)
    assert isinstance(deep, FileRefused) and "longer than SharePoint takes" in str(deep)
    assert stored is None
    assert there.find(["a_vti_b.res", "a?/b"]) == {}
    assert library.files() == {"b.res": b"1;2\n"}
    assert there.parts() == []


def test_a_time_that_sharepoint_does_not_have(there: SharePoint, library: Library) -> None:
    (refused,) = there.store([whole("a.res", modified_ns=4 * 10**20)])
    assert isinstance(refused, FileRefused) and "touch the file" in str(refused)


@pytest.mark.parametrize("modified", [0, -1, 951_827_696, MODIFIED, 32_503_679_999])
def test_times(there: SharePoint, library: Library, modified: int) -> None:
    """In whole seconds, of which what is left over is cut off."""
    assert there.store([whole("a.res", modified_ns=modified * 10**9 + 999_999_999)]) == [None]
    assert [found.modified for found in there.listing()] == [modified]


@pytest.mark.parametrize(
    ("written", "modified"),
    [("2023-11-14T22:13:20.9999999Z", MODIFIED), ("1969-12-31T23:59:58.5Z", -2), ("yesterday", 0)],
)
def test_times_of_others(there: SharePoint, library: Library, written: str, modified: int) -> None:
    assert there.store([whole("a.res")]) == [None]
    library.entry("raw/a.res").modified = written
    assert there.find(["a.res"])["a.res"].modified == modified


def test_a_move_that_drops_the_time(there: SharePoint, library: Library) -> None:
    library.keeps_time = False
    put(there, "a.res", b"1")
    assert there.find(["a.res"])["a.res"].modified == MODIFIED


# --- looking ---


def test_a_listing_of_many_pages(there: SharePoint, library: Library) -> None:
    library.page = 3
    names = {f"{folder}{number}.res" for folder in ("", "a/", "a/b/") for number in range(7)}
    assert there.store([whole(name) for name in names]) == [None] * len(names)
    there.append("p1", 0, [b"waits"])
    assert {found.name for found in there.listing()} == names


def test_the_token_goes_nowhere_else(there: SharePoint, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.page = 1
    assert there.store([whole("a.res"), whole("b.res")]) == [None, None]
    monkeypatch.setattr("tests.sharepoint_library.Library.more_at", "http://127.0.0.1:9/v1.0/")
    with pytest.raises(DestinationUnreachable, match="points elsewhere"):
        list(there.listing())


def test_many_names_take_few_requests(there: SharePoint, library: Library) -> None:
    names = [f"a/{number}.res" for number in range(150)] + ["b/c.res", "new/1.res", "new/2.res"]
    assert there.store([whole(name) for name in names[:151]]) == [None] * 151
    library.asked.clear()
    assert there.find(names).keys() == set(names[:151])
    assert len(library.asked) == 4


def test_few_names_of_a_large_folder_are_looked_up(
    there: SharePoint, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert there.store([whole("a/1.res"), whole("a/2.res")]) == [None, None]
    shown = library.shown
    monkeypatch.setattr(library, "shown", lambda entry: _crowded(shown(entry)))
    library.asked.clear()
    assert there.find(["a/1.res", "a/2.res", "a/3.res"]).keys() == {"a/1.res", "a/2.res"}
    assert not [path for _, path in library.asked if path.endswith("/children")]


def _crowded(shown: dict[str, object]) -> dict[str, object]:
    return {**shown, "folder": {"childCount": 100_000}} if "folder" in shown else shown


# --- what is in the way ---


def test_a_locked_file_is_refused_alone(there: SharePoint, library: Library) -> None:
    assert there.store([whole("a.res"), whole("b.res")]) == [None, None]
    library.entry("raw/a.res").locked = True
    refused, stored = there.store([whole("a.res", b"new", replace=True), whole("b.res", b"new", replace=True)])
    assert isinstance(refused, FileRefused) and "locked" in str(refused) and stored is None
    assert library.files() == {"a.res": b"1;2\n", "b.res": b"new"}
    assert there.parts() == []


def test_a_folder_is_never_replaced(there: SharePoint, library: Library) -> None:
    assert there.store([whole("a/b.res")]) == [None]
    (refused,) = there.store([whole("a", replace=True)])
    assert isinstance(refused, Occupied)
    assert library.files() == {"a/b.res": b"1;2\n"}
    assert there.find(["a", "b"]) == {}


def test_a_folder_that_somebody_takes_away(there: SharePoint, library: Library) -> None:
    assert there.store([whole("a/b.res")]) == [None]
    library.remove(library.entry("raw/a"))
    (refused,) = there.store([whole("a/b.res")])
    assert isinstance(refused, FileRefused) and "sent again" in str(refused)
    library.remove(library.entry("raw/.pusher"))
    with pytest.raises(DestinationUnreachable, match="made again"):
        there.append("p1", 0, [b"x"])


def test_a_part_that_somebody_takes_away(there: SharePoint, library: Library) -> None:
    there.append("p1", 0, [b"x"])
    library.remove(library.entry("raw/.pusher/pc-7/p1"))
    with pytest.raises(FileRefused, match=r"p1 is gone .* sent again"):
        there.part_digest("p1")
    with pytest.raises(FileRefused, match="sent again"):
        there.place("p1", "a.res", 0, replace=False)


def test_a_file_above_what_goes_in_one_piece(there: SharePoint, library: Library) -> None:
    content = LARGE[: PUT_BYTES + 1]
    assert there.store([whole("a.res", content), whole("b.res", content[:-1])]) == [None, None]
    assert library.files() == {"a.res": content, "b.res": content[:-1]}
