"""SharePoint as a destination, when something goes wrong: what each answer of Graph means, and what it says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

import pytest

from pusher.errors import AccessRefused, DestinationUnreachable, PusherError
from pusher.files.destination import Whole
from pusher.files.sharepoint import CHUNK_BYTES, SharePoint
from tests.servers import free_port
from tests.sharepoint_library import Library
from tests.sharepoint_stub import SITE, TOKEN, Stub, sharepoint_stub

LARGE = os.urandom(CHUNK_BYTES + 12_345)


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
    yield destination
    destination.close()


def whole(name: str) -> Whole:
    return Whole(name=name, content=b"1;2\n", sha256=hashlib.sha256(b"1;2\n").hexdigest(), modified_ns=0)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (403, AccessRefused, "give the application the role write"),
        (429, DestinationUnreachable, "tried again"),
        (500, DestinationUnreachable, "tried again"),
        (503, DestinationUnreachable, "tried again"),
        (507, DestinationUnreachable, "no room at contoso.sharepoint.com/sites/lab/Documents/raw"),
        (418, DestinationUnreachable, "proxy"),
    ],
)
@pytest.mark.parametrize("step", ["find", "store", "append"])
def test_failures(
    there: SharePoint, library: Library, step: str, status: int, error: type[PusherError], said: str
) -> None:
    steps: dict[str, tuple[str, Callable[[], object]]] = {
        "find": ("GET", lambda: there.find(["a.res"])),
        "store": ("PUT", lambda: there.store([whole(f"{number}.res") for number in range(20)])),
        "append": ("POST", lambda: there.append("p1", 0, [LARGE])),
    }
    method, act = steps[step]
    library.fail(status, method, "a.res|content|createUploadSession")
    with pytest.raises(error, match=said) as caught:
        act()
    assert TOKEN not in str(caught.value)
    act()  # it was that once


def test_it_says_when_to_come_again(there: SharePoint, library: Library) -> None:
    library.fail(429, "GET", "a.res", Retry_After="17")
    library.fail(503, "PUT", "/upload/", Retry_After="99999999")
    library.fail(429, "PATCH", "", Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")
    waits = []
    for act in (
        lambda: there.find(["a.res"]),
        lambda: there.append("p1", 0, [LARGE]),
        lambda: there.store([whole("b.res")]),
    ):
        with pytest.raises(DestinationUnreachable) as caught:
            act()
        waits.append(caught.value.retry_after_seconds)
    assert waits == [17.0, 86_400.0, None]


def test_an_answer_of_another_kind(there: SharePoint, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    assert there.store([whole("a.res")]) == [None]
    monkeypatch.setattr(library, "shown", lambda _: b"<html>Sign in to the hotel's network</html>")
    with pytest.raises(DestinationUnreachable, match="not Microsoft Graph"):
        there.find(["a.res"])


def test_a_wrong_token(stub: Stub) -> None:
    with pytest.raises(AccessRefused, match=r"does not take our token.*correct tenant and client_id") as caught:
        stub.connect(token=lambda: "wrong-token")
    assert "wrong-token" not in str(caught.value)


def test_the_connection_ends_before_the_answer(there: SharePoint, library: Library) -> None:
    """What was done stays done, and is found."""
    library.lose_answers("PATCH", "")
    with pytest.raises(DestinationUnreachable, match="cannot be reached"):
        there.store([whole("a.res")])
    assert list(there.digests(there.find(["a.res"]).keys())) == [("a.res", whole("").sha256)]  # type: ignore[arg-type]


def test_nobody_is_there(stub: Stub) -> None:
    with pytest.raises(DestinationUnreachable, match="cannot be reached: Connection refused; is the network up"):
        stub.connect(base_url=f"http://127.0.0.1:{free_port()}/v1.0")


# --- the place ---


@pytest.mark.parametrize(
    ("site", "library_name", "folder", "said"),
    [
        ("contoso.sharepoint.com/sites/no", "Documents", "raw", "there is no site contoso.sharepoint.com/sites/no"),
        (SITE, "Papers", "raw", "has no library Papers, but Documents, Other; correct to"),
        (SITE, "Documents", "row", "there is no folder .*/Documents/row; make it there"),
        (SITE, "Documents", "raw/a.res", "there is no folder .*/raw/a.res; make it there"),
    ],
)
def test_a_place_that_is_not_there(
    stub: Stub, there: SharePoint, site: str, library_name: str, folder: str, said: str
) -> None:
    assert there.store([whole("a.res")]) == [None]
    with pytest.raises(DestinationUnreachable, match=said):
        stub.connect(site=site, library=library_name, folder=folder)


@pytest.mark.parametrize("library_name", ["documents", "Shared Documents"])
def test_a_library_by_its_name_or_by_its_address(stub: Stub, library: Library, library_name: str) -> None:
    there = stub.connect(library=library_name, folder="")
    assert there.store([whole("raw/a.res"), whole("b.res")]) == [None, None]
    assert library.entry("b.res").content == library.entry("raw/a.res").content == b"1;2\n"
    assert {found.name for found in there.listing()} == {"raw/a.res", "b.res"}
    there.close()
