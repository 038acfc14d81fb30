"""Any name either is refused or names a file below the site's folder; any listing is in order and whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pusher.central.filestore import FileStore
from pusher.errors import FileRefused
from pusher.wire.files import FoundFile, WholeFile

_ODD = st.sampled_from(
    ["..", ".", "", "~", "...", ".. ", "..\\", "\\", "C:", ".pusher", ".PUSHER", "\0", "\ud800", "%2e%2e", "-"]
)
_PARTS = st.one_of(_ODD, st.text(max_size=6), st.just("x" * 255), st.just("ü" * 128))
_NAMES = st.lists(_PARTS, min_size=1, max_size=5).map("/".join)
_TREES = st.sets(
    st.lists(st.sampled_from(["a", "b", "a.b", "ab", "A", "é", "-", "日"]), min_size=1, max_size=4).map("/".join),
    max_size=25,
)
_CONTENT = b"the content"


@contextmanager
def _store() -> Iterator[tuple[FileStore, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "files")
        root.mkdir()
        Path(folder, "secret").write_bytes(b"secret")
        yield FileStore(root), root


def _whole(name: str) -> WholeFile:
    return WholeFile(name=name, content=_CONTENT, modified_ns=10**18, sha256=sha256(_CONTENT).hexdigest(), replace=True)


@settings(max_examples=300)
@given(_NAMES)
@example("../secret")
@example("../../secret")
@example("a/../../../secret")
@example("/etc/passwd")
@example(".pusher/s/p1")
@example("a/" * 511 + "b")
@example("a/" * 512 + "b")
def test_any_name_is_refused_or_stays_below(name: str) -> None:
    with _store() as (store, root):
        (refused,) = store.store("north", "s", [_whole(name)])
        files = [path for path in root.parent.rglob("*") if path.is_file()]
        if refused:
            assert files == [root.parent / "secret"]
            return
        (file,) = [path for path in files if path != root.parent / "secret"]
        assert str(file) == f"{root}/north/{name}" and file.resolve() == file
        assert file.read_bytes() == _CONTENT
        found = FoundFile(name=name, size=len(_CONTENT), modified=10**9)
        assert store.find("north", [name]) == store.listing("north", "", 10).files == [found]
        assert list(store.hashing("north", name)) == [sha256(_CONTENT).hexdigest()]


@settings(max_examples=60)
@given(_TREES, st.integers(1, 8), st.sampled_from(["a", "a/b", "ab/-", "é", "日/日"]))
def test_pages_are_the_whole_listing_in_order(names: set[str], limit: int, middle: str) -> None:
    with _store() as (store, _):
        refused = store.store("north", "s", [_whole(name) for name in sorted(names)])
        stored = [name for name, fault in zip(sorted(names), refused, strict=True) if fault is None]
        assert all(isinstance(fault, FileRefused) for fault in refused if fault)
        in_order = sorted(stored, key=lambda name: name.split("/"))
        listed: list[str] = []
        after: str | None = ""
        while after is not None:
            page = store.listing("north", after, limit)
            assert len(page.files) == limit or page.after is None
            listed += [file.name for file in page.files]
            after = page.after
        assert listed == in_order
        behind = [name for name in in_order if name.split("/") > middle.split("/")]
        assert [file.name for file in store.listing("north", middle, 100).files] == behind
