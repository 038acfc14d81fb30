"""A folder of a SharePoint library as a destination, by Microsoft Graph."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

from pusher.config_files import FilesSettings
from pusher.errors import ConfigError, DestinationUnreachable, FileRefused, SourceUnreachable
from pusher.files.destination import PARTS, Found, Part, Whole
from pusher.files.graph import GRAPH_URL, LINES, Gone, Graph, Item
from pusher.files.graphtoken import LOGIN_URL, msal_tokens
from pusher.files.library import Library, modified_seconds
from pusher.files.quickxor import quick_xor
from pusher.files.sessions import Sessions

CHUNK_BYTES = 16 * (320 << 10)  # Graph takes multiples of 320 KiB alone
PUT_BYTES = 4 << 20  # the most that goes without an upload session
_SITES = ("sites", "teams")  # the folders of a host in which sites are


@contextmanager
def open_sharepoint(
    files: FilesSettings, state: Path, sender: str, *, base_url: str = GRAPH_URL, authority: str = LOGIN_URL
) -> Iterator[SharePoint]:
    """The place that `files.to` names. `state`: a folder in which is kept what a later run needs to go on.

    Raises AccessRefused, ConfigError, DestinationUnreachable.
    """
    if not (files.tenant and files.client_id and files.client_secret):
        raise ConfigError([f"{files.to.text} needs tenant, client_id and client_secret; see docs/sharepoint.md"])
    site, library, folder = parse_place(files.to.host or "", files.to.path)
    with closing(
        SharePoint(
            site=site,
            library=library,
            folder=folder,
            client=sender,
            token=msal_tokens(files.tenant, files.client_id, files.client_secret.reveal(), authority),
            sessions=Sessions(state / f"sharepoint-{sender}.json"),
            base_url=base_url,
            spool=state,
        )
    ) as destination:
        yield destination


def parse_place(host: str, path: str) -> tuple[str, str, str]:
    """Site, library and folder of sharepoint://host/sites/NAME/library/folder, or of a library of the host's own site:
    sharepoint://host/library/folder. The folder may be empty.

    Raises ConfigError if no library is named.
    """
    parts = [part for part in path.split("/") if part]
    of_site = 2 if parts and parts[0].lower() in _SITES else 0
    if len(parts) <= of_site:
        raise ConfigError(
            [f"sharepoint://{host}/{path} names no library; write it like sharepoint://{host}/sites/lab/Documents/raw"]
        )
    return "/".join([host, *parts[:of_site]]), parts[of_site], "/".join(parts[of_site + 1 :])


class SharePoint:
    folds_case = True
    windows = True

    def __init__(
        self,
        *,
        site: str,
        library: str,
        folder: str,
        client: str,
        token: Callable[[], str],
        sessions: MutableMapping[str, str],
        base_url: str = GRAPH_URL,
        connect_seconds: float = 10,
        read_seconds: float = 300,
        spool: Path | None = None,
    ) -> None:
        """`site`: host/sites/name. `client`: this sender, for its parts. `sessions`: addresses of its uploads under
        way, by part, which the caller keeps between runs. `spool`: a folder with room for the largest file.

        Raises AccessRefused, DestinationUnreachable.
        """
        self._place = "/".join(filter(None, (site, library, folder)))
        self._graph = Graph(base_url, token, self._place, connect_seconds=connect_seconds, read_seconds=read_seconds)
        try:
            self._library = Library(self._graph, site, library, folder)
        except BaseException:
            self._graph.close()
            raise
        self._sessions = sessions
        self._spool = str(spool or tempfile.gettempdir())
        self._parts = f"{PARTS}/{client}"
        self._finished: dict[str, Item] = {}  # parts that have come as a whole

    # --- looking

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        folders: dict[str, list[str]] = {}
        for name in names:
            folders.setdefault(name.rpartition("/")[0], []).append(name)
        items: dict[str, Item | None] = {}
        with ThreadPoolExecutor(LINES, thread_name_prefix="find") as lines:
            left: list[str] = []
            for found, others in lines.map(self._library.look_into, folders.keys(), folders.values()):
                items |= found
                left += others
            items |= zip(left, lines.map(self._library.lookup, left), strict=True)
        return {name: _found(name, item) for name, item in items.items() if item and item.file}

    def listing(self) -> Iterator[Found]:
        folders = [("", self._library.root)]
        while folders:
            above, identity = folders.pop()
            for item in self._library.children(identity, above):
                name = f"{above}/{item.name}" if above else item.name
                if item.file:
                    yield _found(name, item)
                elif item.folder is not None and name.casefold() != PARTS:
                    folders.append((name, item.id))

    def digests(self, names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
        for name in names:
            item = self._library.lookup(name)
            yield name, self._library.digest(item, name) if item and item.file else None

    def parts(self) -> list[Part]:
        folder = self._library.lookup(self._parts)
        children = self._library.children(folder.id, self._parts) if folder else iter(())
        found = {item.name: item.size for item in children if item.file}
        for part, address in list(self._sessions.items()):
            try:
                found[part] = self._graph.waits_for(address, part)
            except Gone:  # it ran out, or it was finished and only the answer was lost
                del self._sessions[part]
        return [Part(name=name, size=size) for name, size in found.items()]

    # --- writing

    def append(self, part: str, offset: int, chunks: Iterable[bytes]) -> None:
        self._finished.pop(part, None)
        if not offset:
            self._cancel(part)
        with self._measured(chunks) as (size, pieces):
            if offset + size == 0:  # which no upload session takes
                self._finished[part] = self._library.put(self._path(part), b"")
            elif size and offset and part not in self._sessions:
                self._lengthen(part, offset, pieces)
            elif size:
                self._upload(part, offset, offset + size, pieces)

    def part_digest(self, part: str) -> str:
        digest = self._library.digest(self._whole_part(part), part)
        if digest is None:
            raise self._lost(part)
        return digest

    def discard(self, part: str) -> None:
        self._finished.pop(part, None)
        self._cancel(part)
        self._library.delete(self._path(part))

    def place(self, part: str, name: str, modified_ns: int, *, replace: bool) -> None:
        self._library.move(self._whole_part(part), name, modified_ns, replace=replace)
        self._finished.pop(part, None)

    def store(self, files: Sequence[Whole]) -> list[FileRefused | None]:
        self._library.make_folders([self._parts, *dict.fromkeys(file.name.rpartition("/")[0] for file in files)])
        parts = [f"whole-{number}" for number in range(len(files))]
        with ThreadPoolExecutor(LINES, thread_name_prefix="store") as lines:
            return list(lines.map(self._store, files, parts))

    def close(self) -> None:
        self._graph.close()

    # --- parts

    def _upload(self, part: str, offset: int, total: int, pieces: Iterable[bytes]) -> None:
        """`offset`: where the upload under way stopped, or 0 to begin one."""
        if not offset:
            self._sessions[part] = self._library.begin(self._path(part))
        item: Item | None = None
        try:
            for piece in pieces:
                item = self._graph.put_range(self._sessions[part], piece, offset, total, part)
                offset += len(piece)
        except Gone as error:
            del self._sessions[part]
            raise self._ran_out(part) from error
        if item is None:
            raise DestinationUnreachable(f"{part} has come to {self._place}, but does not end there; it is tried again")
        self._finished[part] = item
        del self._sessions[part]

    def _lengthen(self, part: str, offset: int, pieces: Iterable[bytes]) -> None:
        """A part that has come as a whole, and was not all: nothing can be put behind it there."""
        item = self._library.lookup(self._path(part))
        if item is None or item.size != offset:
            raise self._ran_out(part)
        try:
            with self._measured(chain(self._library.content(item, part), pieces)) as (size, whole):
                self._upload(part, 0, size, whole)
        except Gone as error:
            raise self._ran_out(part) from error

    def _cancel(self, part: str) -> None:
        if address := self._sessions.get(part):
            self._graph.cancel(address, part)
            del self._sessions[part]

    @contextmanager
    def _measured(self, chunks: Iterable[bytes]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """How much there is, which Graph wants to know before the first byte, and the same in pieces to send."""
        try:
            with tempfile.SpooledTemporaryFile(max_size=CHUNK_BYTES, dir=self._spool) as spool:
                for chunk in chunks:
                    spool.write(chunk)
                size = spool.tell()
                spool.seek(0)
                yield size, iter(partial(spool.read, CHUNK_BYTES), b"")
        except OSError as error:
            raise SourceUnreachable(
                f"a file on its way cannot be kept in {self._spool}: {error.strerror or error}; free some room there"
            ) from error

    def _path(self, part: str) -> str:
        return f"{self._parts}/{part}"

    def _whole_part(self, part: str) -> Item:
        item = self._finished.get(part) or self._library.lookup(self._path(part))
        if item is None:
            raise self._lost(part)
        return item

    # --- small files

    def _store(self, file: Whole, part: str) -> FileRefused | None:
        try:
            if len(file.content) > PUT_BYTES:
                self.append(part, 0, [file.content])
                item = self._finished.pop(part)
            else:
                item = self._library.put(self._path(part), file.content)
            if not self._is_proven(item, file):
                raise FileRefused(f"{file.name} reads otherwise at {self._place}; does SharePoint add to such files?")
            self._library.move(item, file.name, file.modified_ns, replace=file.replace)
        except FileRefused as refused:
            self.discard(part)
            return refused
        return None

    def _is_proven(self, item: Item, file: Whole) -> bool:
        """By a hash of SharePoint's own if it gives one and the file went in one piece; else it is read back."""
        if hashlib.sha256(file.content).hexdigest() != file.sha256:
            return False
        hashes = item.file and item.file.hashes
        if hashes and hashes.quick_xor and len(file.content) <= PUT_BYTES:
            return hashes.quick_xor == quick_xor(file.content)
        return self._library.digest(item, file.name) == file.sha256

    def _ran_out(self, part: str) -> DestinationUnreachable:
        return DestinationUnreachable(f"{self._place} keeps what came of {part} no more; it begins anew")

    def _lost(self, part: str) -> FileRefused:
        return FileRefused(f"{part} is gone at {self._place}; it is sent again")


def _found(name: str, item: Item) -> Found:
    return Found(name=name, size=item.size, modified=modified_seconds(item))
