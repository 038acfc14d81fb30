"""What somebody with a token, or with a hand in the storage, may try against the files that central keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import msgspec
import pytest
import requests
import zstandard

from pusher.central.filestore import FileStore
from pusher.central.tokens import list_tokens, revoke_token
from pusher.errors import AccessRefused, DestinationUnreachable, FileRefused, Occupied
from pusher.rest.files import routes
from pusher.wire.files import CHUNK_BYTES, MOST_BYTES, Names, Placing, Storing, WholeFile, pack_files
from tests.files_central import FilesCentral, SiteThere, files_central, sha256, whole
from tests.http_central import bearer, compress, detail
from tests.stage import serving

SECRET = b"of another"
ADDRESSES = [
    (method, str(route.path)) for route in routes for method in sorted(route.methods or ()) if method != "HEAD"
]
LOOKING = {"/files/v1/find", "/files/v1/list", "/files/v1/digests"}
AWAY = (
    *("..", ".", "../x", "../../x", "a/../../x", "a/..", "a/./b", "a//b", "/", "/etc/passwd", "//x", "a/", ""),
    *(".pusher", ".pusher/instrument/p1", ".PUSHER/x", "a\0b", "x" * 256, "a/" * 600 + "b", "\ud800"),
)
_numbers = count(1)


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilesCentral]:
    with files_central(tmp_path_factory.mktemp("central")) as service:
        (service.root.parent / "outside").mkdir()
        (service.root.parent / "outside/secret.res").write_bytes(SECRET)
        yield service


@pytest.fixture
def site(central: FilesCentral) -> SiteThere:
    """A site that has nothing there yet."""
    return central.site(f"site-{next(_numbers)}")


@pytest.fixture
def outside(central: FilesCentral) -> Path:
    return central.root.parent / "outside"


def tree(central: FilesCentral) -> dict[str, bytes | None]:
    """Everything around the files, and in them, but for central's database."""
    top = central.root.parent
    paths = [path for path in top.rglob("*") if not path.name.startswith("central.db")]
    return {str(path.relative_to(top)): path.read_bytes() if path.is_file() else None for path in paths}


def placing(name: str, content: bytes = b"x", *, replace: bool = False) -> Placing:
    return Placing(part="p1", name=name, modified_ns=0, sha256=sha256(content), replace=replace)


# --- whose files they are ---


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_without_a_token_there_is_nothing(central: FilesCentral, method: str, path: str) -> None:
    url = central.resturl.replace("/rest/", path.replace("{part}", "p1"))
    assert requests.request(method, url, timeout=30).status_code == 401
    assert requests.request(method, url, timeout=30, headers=bearer("pusher_x")).status_code == 401


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_a_read_token_only_looks(site: SiteThere, method: str, path: str) -> None:
    read = site.central.token(site.name, "read")
    path = path.removeprefix("/files/v1/").replace("{part}", "p1")
    body = Names(names=["a"]) if path in ("find", "digests") else b""
    answer = site.call(method, path, body, token=read, Upload_Offset="0")
    assert answer.status_code == (200 if f"/files/v1/{path}" in LOOKING else 403)
    assert not site.folder.exists()


def test_a_site_sees_and_touches_no_other_ones_files(central: FilesCentral, site: SiteThere) -> None:
    other = central.site(f"{site.name}-other")
    with closing(site.connect()) as ours, closing(other.connect()) as theirs:
        ours.store([whole("a.res", b"ours")])
        ours.append("p1", 0, [b"our part"])
        assert theirs.find(["a.res"]) == {}
        assert list(theirs.listing()) == [] and theirs.parts() == []
        assert list(theirs.digests(["a.res"])) == [("a.res", None)]
        theirs.discard("p1")
        with pytest.raises(FileRefused, match="is gone"):
            theirs.place("p1", "b.res", 0, replace=False)
        assert theirs.store([whole("a.res", b"theirs", replace=True)]) == [None]
    assert (site.folder / "a.res").read_bytes() == b"ours"
    assert (site.parts / "p1").read_bytes() == b"our part"


def test_a_revoked_token_ends_at_once(central: FilesCentral, site: SiteThere) -> None:
    with closing(site.connect()) as there:
        there.append("p1", 0, [b"x"])
        (token,) = [each for each in list_tokens(central.engine) if each.site == site.name]
        revoke_token(central.engine, token.id)
        for attempt in (lambda: there.append("p1", 1, [b"y"]), lambda: there.find(["a"]), lambda: there.parts()):
            with pytest.raises(AccessRefused, match="unknown or revoked"):
                attempt()
    assert (site.parts / "p1").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["..", ".", ".pusher"])
def test_a_site_whose_name_is_no_folder(central: FilesCentral, name: str) -> None:
    before = tree(central)
    with closing(central.site(name).connect()) as there:
        for attempt in (
            lambda: there.store([whole("a.res")]),
            lambda: there.append("p1", 0, [b"x"]),
            lambda: there.find(["a.res"]),
            lambda: list(there.listing()),
            lambda: list(there.digests(["a.res"])),
        ):
            with pytest.raises(AccessRefused, match="give it another name"):
                attempt()
    assert tree(central) == before


@pytest.mark.parametrize(("method", "path"), ADDRESSES)
def test_a_central_without_files_says_so(tmp_path: Path, method: str, path: str) -> None:
    with files_central(tmp_path) as with_files, serving(f"sqlite:///{tmp_path / 'central.db'}") as resturl:
        url = resturl.replace("/rest/", path.replace("{part}", "p1"))
        answer = requests.request(method, url, headers=bearer(with_files.token()), timeout=30)
    assert answer.status_code == 404
    assert detail(answer) == "this central takes no files; start it with --files FOLDER"


# --- names that lead elsewhere ---


@pytest.mark.parametrize("name", AWAY, ids=ascii)
def test_no_name_leads_out_of_the_folder(site: SiteThere, name: str) -> None:
    with closing(site.connect()) as there:
        there.append("p1", 0, [b"x"])
        there.store([whole("a/b", b"x")])
    before = tree(site.central)
    raw = b'"\\ud800"' if name == "\ud800" else msgspec.json.encode(name)
    for path in ("find", "digests"):
        answer = site.call("POST", path, compress(b'{"names":[' + raw + b"]}"))
        assert answer.status_code in (400, 422) and detail(answer)
    place = msgspec.json.encode(placing("@", replace=True)).replace(b'"@"', raw)
    assert site.call("POST", "place", compress(place)).status_code in (400, 422)
    if name != "\ud800":  # which MessagePack cannot hold
        file = WholeFile(name=name, content=b"y", modified_ns=0, sha256=sha256(b"y"), replace=True)
        (refused,) = site.call("POST", "store", pack_files(Storing(files=[file]))).json()["refused"]
        assert refused["reason"] and not refused["occupied"]
    assert tree(site.central) == before


@pytest.mark.parametrize(
    "part",
    [
        "..",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2foutside",
        "..%2f..%2fa",
        "a.b",
        ".sha256",
        "p1.sha256",
        "%00",
        "a%2fb",
        "%c3%bc",
        "x" * 101,
    ],
)
def test_no_part_leads_out_of_the_folder(site: SiteThere, part: str) -> None:
    site.parts.mkdir(parents=True)
    before = tree(site.central)
    for method, path in (("PATCH", ""), ("DELETE", ""), ("GET", "/digest")):
        answer = site.call(method, f"parts/{part}{path}", b"x", Upload_Offset="0")
        assert answer.status_code in (400, 404, 405) and detail(answer)
    bad = msgspec.structs.replace(placing("a.res"), part=part)
    assert site.call("POST", "place", bad).status_code == 400
    assert tree(site.central) == before


@pytest.mark.parametrize("sender", ["", ".", "..", ".x", "a/b", "../../outside", "x" * 101, "%2e%2e"])
def test_no_sender_leads_out_of_the_folder(site: SiteThere, sender: str) -> None:
    before = tree(site.central)
    file = pack_files(Storing(files=[]))
    for method, path, body in (
        ("GET", "parts", b""),
        ("PATCH", "parts/p1", b"x"),
        ("POST", "store", file),
        ("POST", "place", placing("a.res")),
    ):
        answer = site.call(method, path, body, Pusher_Sender=sender, Upload_Offset="0")
        assert answer.status_code == 400 and "a sender's name has" in detail(answer)
    assert tree(site.central) == before


# --- what somebody planted in the storage ---


def test_a_link_to_a_folder_leads_nowhere(site: SiteThere, outside: Path) -> None:
    site.folder.mkdir()
    (site.folder / "link").symlink_to(outside)
    (site.folder / "deep").mkdir()
    (site.folder / "deep/link").symlink_to(outside)
    before = tree(site.central)
    with closing(site.connect()) as there:
        for folder in ("link", "deep/link"):
            assert there.find([f"{folder}/secret.res"]) == {}
            assert list(there.digests([f"{folder}/secret.res"])) == [(f"{folder}/secret.res", None)]
            for name in (f"{folder}/secret.res", f"{folder}/new/x.res"):
                (refused,) = there.store([whole(name, replace=True)])
                assert isinstance(refused, FileRefused) and "what is in its way at central" in str(refused)
                there.append("p1", 0, [b"x"])
                with pytest.raises(FileRefused, match="in its way"):
                    there.place("p1", name, 0, replace=True)
                there.discard("p1")
        assert list(there.listing()) == []
    assert site.call("GET", "list?after=link/a").json()["files"] == []
    assert tree(site.central) == before | {
        str(each.relative_to(site.central.root.parent)): None for each in (site.parts.parent, site.parts)
    }


def test_a_link_in_the_place_of_a_file(site: SiteThere, outside: Path) -> None:
    site.folder.mkdir()
    (site.folder / "a.res").symlink_to(outside / "secret.res")
    with closing(site.connect()) as there:
        assert there.find(["a.res"]) == {}
        assert list(there.listing()) == []
        assert list(there.digests(["a.res"])) == [("a.res", None)]
        assert isinstance(there.store([whole("a.res")])[0], Occupied)
        assert there.store([whole("a.res", b"new", replace=True)]) == [None]
    assert not (site.folder / "a.res").is_symlink() and (site.folder / "a.res").read_bytes() == b"new"
    assert (outside / "secret.res").read_bytes() == SECRET


@pytest.mark.parametrize("planted", ["", ".pusher", ".pusher/instrument"])
def test_a_link_in_the_place_of_our_own_folders(site: SiteThere, outside: Path, planted: str) -> None:
    link = site.folder / planted
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    before = tree(site.central)
    with closing(site.connect()) as there:
        for attempt in (
            lambda: there.append("p1", 0, [b"x"]),
            lambda: there.store([whole("a.res")]),
            lambda: there.part_digest("p1"),
        ):
            with pytest.raises(DestinationUnreachable, match="Not a directory; see the folder of --files there"):
                attempt()
    assert tree(site.central) == before


def test_a_link_in_the_place_of_a_part(site: SiteThere, outside: Path) -> None:
    site.parts.mkdir(parents=True)
    for name in ("p1", "p1.sha256"):
        (site.parts / name).symlink_to(outside / "secret.res")
    with closing(site.connect()) as there:
        assert there.parts() == []
        with pytest.raises(FileRefused, match="is gone"):
            there.part_digest("p1")
        assert site.call("PATCH", "parts/p1", b"x", Upload_Offset=str(len(SECRET))).status_code == 409
        there.append("p1", 0, [b"mine"])
        (site.parts / "p1.sha256").symlink_to(outside / "secret.res")
        with pytest.raises(DestinationUnreachable):
            there.part_digest("p1")
        there.append("p1", 0, [b"mine"])
        there.place("p1", "a.res", 0, replace=False)
    assert (site.folder / "a.res").read_bytes() == b"mine"
    assert (outside / "secret.res").read_bytes() == SECRET


def test_a_pipe_is_not_waited_for(site: SiteThere) -> None:
    site.parts.mkdir(parents=True)
    os.mkfifo(site.folder / "pipe.res")
    os.mkfifo(site.parts / "p1")
    with closing(site.connect()) as there:
        assert list(there.digests(["pipe.res"])) == [("pipe.res", None)]
        assert there.find(["pipe.res"]) == {} and list(there.listing()) == [] and there.parts() == []
        with pytest.raises(FileRefused, match="is gone"):
            there.part_digest("p1")
        assert site.call("PATCH", "parts/p1", b"x", Upload_Offset="1").status_code == 409


def test_files_with_names_that_are_none_are_not_listed(site: SiteThere) -> None:
    (site.folder / ".Pusher").mkdir(parents=True)
    (site.folder / ".Pusher/x").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(site.folder) + b"/\xff.res")).write_bytes(b"x")
    (site.folder / "a.res").write_bytes(b"x")
    assert [each["name"] for each in site.call("GET", "list").json()["files"]] == ["a.res"]


# --- too much, and nonsense ---


def test_a_body_that_is_too_large(site: SiteThere) -> None:
    large = os.urandom(CHUNK_BYTES + 1)
    assert site.call("PATCH", "parts/p1", large, Upload_Offset="0").status_code == 413
    assert site.call("POST", "store", large).status_code == 413
    assert site.call("POST", "find", large[: 3 << 20]).status_code == 413
    assert site.call("PATCH", "parts/p1", large[:CHUNK_BYTES], Upload_Offset="0").status_code == 204


def _packed(files: int, content: int) -> bytes:
    each = WholeFile(name="a", content=bytes(content), modified_ns=0, sha256=sha256(bytes(content)), replace=True)
    return pack_files(Storing(files=[each] * files))


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("find", compress(b" " * (MOST_BYTES + 1)), "more than 16777216 bytes"),
        ("digests", compress(b" " * (300 << 20)), "more than 16777216 bytes"),
        ("find", compress(b'{"names":[]}', tell_size=False), "does not tell its size"),
        ("find", b'{"names":["a"]}', "damaged"),
        ("find", compress(b'{"names":[]}')[:-1], "damaged"),
        ("find", compress(b'{"names":"a"}'), "not a names"),
        ("find", compress(b'{"names":["\xff"]}'), "not a names"),
        ("find", compress(msgspec.json.encode({"names": ["a"] * 1001})), "not a names"),
        ("place", compress(b"{}"), "not a placing"),
        (
            "place",
            compress(msgspec.json.encode(placing("a")).replace(b'"modified_ns":0', b'"modified_ns":1e99')),
            "not a",
        ),
        (
            "place",
            compress(msgspec.json.encode(placing("a")).replace(b'"modified_ns":0', b'"modified_ns":' + b"9" * 30)),
            "not",
        ),
        (
            "place",
            compress(msgspec.json.encode(msgspec.structs.replace(placing("a"), sha256="0" * 63))),
            "not a placing",
        ),
        ("store", _packed(2, MOST_BYTES // 2), "more than 16777216 bytes"),
        ("store", _packed(1001, 0), "no files"),
        ("store", compress(b"\xc1"), "no files"),
        ("store", compress(b"\x91" * 100_000), "no files"),
        ("store", b"", "damaged"),
        ("store", zstandard.ZstdCompressor().compress(b"")[:4], "damaged"),
    ],
)
def test_nonsense_and_bombs_are_bad_requests(site: SiteThere, path: str, body: bytes, why: str) -> None:
    answer = site.call("POST", path, body)
    assert answer.status_code == 400 and why in detail(answer)


@pytest.mark.parametrize("offset", ["", "-1", "1.5", "x", "9" * 19, "0x1", "1 2"])
def test_an_offset_that_is_none(site: SiteThere, offset: str) -> None:
    answer = site.call("PATCH", "parts/p1", b"x", Upload_Offset=offset)
    assert answer.status_code == 400 and "Upload-Offset" in detail(answer)
    assert not site.folder.exists()


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=-1", "limit=x", "limit=", "limit=1e3", "limit=%C2%B2"]
)
def test_a_limit_that_is_none(site: SiteThere, query: str) -> None:
    answer = site.call("GET", f"list?{query}")
    assert answer.status_code == 400 and "a number from 1 to 10000" in detail(answer)


def test_an_end_of_a_part_that_no_file_can_have(site: SiteThere) -> None:
    with closing(site.connect()) as there:
        there.append("p1", 0, [b"x"])
    answer = site.call("PATCH", "parts/p1", b"x", Upload_Offset="9" * 18)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "1")


def test_a_folder_stands_where_a_file_should(site: SiteThere) -> None:
    (site.folder / "a.res").mkdir(parents=True)
    with closing(site.connect()) as there:
        assert isinstance(there.store([whole("a.res")])[0], Occupied)
        assert isinstance(there.store([whole("a.res", replace=True)])[0], FileRefused)
        assert there.find(["a.res"]) == {}
        assert list(there.digests(["a.res"])) == [("a.res", None)]


def test_the_folder_of_files_may_be_a_link_itself(tmp_path: Path) -> None:
    """The operator's own."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "files").symlink_to(tmp_path / "disk")
    store = FileStore(tmp_path / "files")
    store.check()
    file = WholeFile(name="a.res", content=b"x", modified_ns=0, sha256=sha256(b"x"), replace=False)
    assert store.store("north", "s", [file]) == [None]
    assert (tmp_path / "disk/north/a.res").read_bytes() == b"x"
