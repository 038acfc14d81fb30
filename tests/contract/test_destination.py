"""What every destination of files promises, whatever it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from pusher.errors import FileRefused, Occupied
from pusher.files.destination import PARTS, Destination, Found, Part, Whole
from tests.contract.destinations import DESTINATIONS, Place

MODIFIED_NS = 1_700_000_000_000_000_000
LARGE = os.urandom(3 << 20) + b"end"
ODD_NAMES = ("plain.res", "zwei Wörter/ü ñ 日本.csv", "it's $(touch x) & co; #1 100%.csv", "-rf", "deep/er/and/deep/x")


@pytest.fixture(params=DESTINATIONS, ids=lambda way: way.__name__)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    way: Callable[[Path], AbstractContextManager[Place]] = request.param
    with way(tmp_path) as found:
        yield found


@pytest.fixture
def there(place: Place) -> Iterator[Destination]:
    with closing(place.connect("site-a")) as destination:
        yield destination


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def whole(name: str, content: bytes = b"1;2\n", *, replace: bool = False) -> Whole:
    return Whole(name=name, content=content, sha256=sha256(content), modified_ns=MODIFIED_NS, replace=replace)


def put(there: Destination, name: str, content: bytes, *, replace: bool = False) -> None:
    there.append("p1", 0, [content])
    assert there.part_digest("p1") == sha256(content)
    there.place("p1", name, MODIFIED_NS, replace=replace)


def digest(there: Destination, name: str) -> str | None:
    ((found, value),) = there.digests([name])
    assert found == name
    return value


def visible(place: Place) -> list[str] | None:
    """The names that somebody else sees there."""
    if place.root is None:
        return None
    files = [path.relative_to(place.root) for path in place.root.rglob("*") if path.is_file()]
    return sorted(str(path) for path in files if path.parts[0] != PARTS)


# --- whole files ---


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_part_becomes_a_file_under_its_name(there: Destination, place: Place, name: str) -> None:
    put(there, name, LARGE)
    assert there.find([name, "other"]) == {name: Found(name=name, size=len(LARGE), modified=MODIFIED_NS // 10**9)}
    assert digest(there, name) == sha256(LARGE)
    assert there.parts() == []
    if place.root:
        assert visible(place) == [name]
        assert (place.root / name).read_bytes() == LARGE


def test_many_small_files_at_once(there: Destination) -> None:
    files = [whole(f"{name}{number}", f"{number}".encode() * number) for number in range(20) for name in ODD_NAMES]
    assert there.store(files) == [None] * len(files)
    listed = {found.name: found for found in there.listing()}
    assert listed == {
        file.name: Found(name=file.name, size=len(file.content), modified=MODIFIED_NS // 10**9) for file in files
    }
    assert dict(there.digests([file.name for file in files])) == {file.name: file.sha256 for file in files}
    assert there.parts() == []


def test_hashes_come_in_the_order_in_which_they_are_asked_for(there: Destination) -> None:
    files = [whole(f"{number}\n.res" if number % 5 == 4 else f"{number}.res", b"%d" % number) for number in range(20)]
    if there.windows:
        files = [file for file in files if "\n" not in file.name]
    assert there.store(files) == [None] * len(files)
    names = [file.name for file in reversed(files)] + ["none.res"]
    hashes = [file.sha256 for file in reversed(files)]
    assert list(there.digests(names)) == list(zip(names, [*hashes, None], strict=True))


def test_an_empty_file(there: Destination) -> None:
    put(there, "empty.res", b"")
    assert there.store([whole("none.res", b"")]) == [None]
    assert digest(there, "empty.res") == digest(there, "none.res") == sha256(b"")


def test_what_is_not_there(there: Destination) -> None:
    assert there.find(["no/such", "none"]) == {}
    assert list(there.listing()) == []
    assert list(there.digests(["no/such"])) == [("no/such", None)]
    assert there.parts() == []
    there.discard("nothing")


# --- nothing half, nothing overwritten ---


def test_a_part_is_no_file_until_it_is_placed(there: Destination, place: Place) -> None:
    there.append("p1", 0, [LARGE])
    assert list(there.listing()) == []
    assert visible(place) in ([], None)


def test_a_name_in_use_stays_with_its_file(there: Destination) -> None:
    put(there, "a/b.res", b"first")
    there.append("p2", 0, [b"second"])
    with pytest.raises(Occupied):
        there.place("p2", "a/b.res", MODIFIED_NS, replace=False)
    refused, stored = there.store([whole("a/b.res", b"third"), whole("a/c.res", b"fourth")])
    assert isinstance(refused, Occupied) and stored is None
    assert (digest(there, "a/b.res"), digest(there, "a/c.res")) == (sha256(b"first"), sha256(b"fourth"))


def test_our_own_file_is_replaced(there: Destination) -> None:
    put(there, "b.res", b"first")
    put(there, "b.res", b"second, and longer", replace=True)
    assert digest(there, "b.res") == sha256(b"second, and longer")
    assert there.store([whole("b.res", b"3", replace=True)]) == [None]
    assert [found.name for found in there.listing()] == ["b.res"]
    assert digest(there, "b.res") == sha256(b"3")


def test_replacing_what_is_gone_just_places(there: Destination) -> None:
    put(there, "b.res", b"first", replace=True)
    assert there.store([whole("c.res", replace=True)]) == [None]
    assert {found.name for found in there.listing()} == {"b.res", "c.res"}


def test_a_whole_file_that_is_not_what_it_claims_is_refused(there: Destination) -> None:
    wrong = Whole(name="a.res", content=b"torn", sha256=sha256(b"true"), modified_ns=MODIFIED_NS)
    refused, stored = there.store([wrong, whole("b.res")])
    assert isinstance(refused, FileRefused) and stored is None
    assert [found.name for found in there.listing()] == ["b.res"]


def test_a_file_where_a_folder_should_be(there: Destination) -> None:
    put(there, "a", b"file")
    (refused,) = there.store([whole("a/b")])
    assert isinstance(refused, FileRefused)
    there.append("p2", 0, [b"x"])
    with pytest.raises(FileRefused):
        there.place("p2", "a/b", MODIFIED_NS, replace=False)
    assert [found.name for found in there.listing()] == ["a"]


# --- going on ---


def test_a_part_goes_on_where_it_stopped(place: Place) -> None:
    with closing(place.connect("site-a")) as first:
        first.append("p1", 0, [LARGE[: 2 << 20]])
    with closing(place.connect("site-a")) as there:
        (part,) = there.parts()
        assert part.name == "p1" and 0 < part.size <= 2 << 20
        there.append("p1", part.size, [LARGE[part.size : (2 << 20) + 7], LARGE[(2 << 20) + 7 :]])
        assert there.part_digest("p1") == sha256(LARGE)
        there.place("p1", "x.res", MODIFIED_NS, replace=False)
        assert digest(there, "x.res") == sha256(LARGE)


def test_a_part_begins_anew(there: Destination) -> None:
    there.append("p1", 0, [b"long ago"])
    there.append("p1", 0, [b"now"])
    assert there.part_digest("p1") == sha256(b"now")
    there.discard("p1")
    assert there.parts() == []


def test_a_sender_sees_no_other_ones_parts(place: Place) -> None:
    with closing(place.connect("site-a")) as one, closing(place.connect("site-b")) as other:
        one.append("p1", 0, [b"ours"])
        assert other.parts() == []
        other.append("p1", 0, [b"theirs"])
        assert one.parts() == [Part(name="p1", size=4)]
        one.place("p1", "a", MODIFIED_NS, replace=False)
        assert other.parts() == [Part(name="p1", size=6)]
