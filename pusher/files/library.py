"""The files and folders of a SharePoint library: found, made, written, read and moved."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import quote, unquote, urlsplit

import msgspec

from pusher.errors import DestinationUnreachable, FileRefused, Occupied
from pusher.files.graph import Gone, Graph, Item, Items, Uploading

_MOST_CHARACTERS = 400  # of a path, as SharePoint counts it
_FIELDS = "$select=id,name,size,file,folder,fileSystemInfo"
_PAGE = f"{_FIELDS}&$top=1000"
_LEAST_PAGE = 200  # that many children come at once in any case
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_CONFLICT = "@microsoft.graph.conflictBehavior"


class _Site(msgspec.Struct):
    id: str


class _Drive(msgspec.Struct, rename={"url": "webUrl"}):
    id: str
    name: str = ""
    url: str = ""


class _Drives(msgspec.Struct):
    value: list[_Drive]


class Library:
    """Below one folder of a library, to which all names are relative. `site`: host/sites/name."""

    def __init__(self, graph: Graph, site: str, library: str, folder: str) -> None:
        """Raises AccessRefused, DestinationUnreachable."""
        self._graph = graph
        self._place = graph.where
        self._characters = len(f"{library}/{folder}/")
        self._items, self.root = self._locate(site, library, folder)
        self._folders = {"": self.root}

    # --- looking

    def lookup(self, name: str) -> Item | None:
        try:
            return self._graph.find(f"{self._path(name)}?{_FIELDS}", name)
        except FileRefused:  # nothing can have that name
            return None

    def look_into(self, folder: str, names: Sequence[str]) -> tuple[dict[str, Item], Sequence[str]]:
        """Those of `names` that are in their `folder`, and those that are quicker looked up one by one."""
        if len(names) == 1:
            return {}, names
        found = self.lookup(folder)
        if found is None or found.folder is None:
            return {}, []
        if found.folder.child_count // _LEAST_PAGE > len(names):
            return {}, names
        there = {child.name.casefold(): child for child in self.children(found.id, folder)}
        wanted = {name: name.rpartition("/")[2].casefold() for name in names}
        return {name: there[key] for name, key in wanted.items() if key in there}, []

    def children(self, identity: str, what: str) -> Iterator[Item]:
        """Of the folder with that id; none if it is gone."""
        path: str | None = f"{self._items}/{identity}/children?{_PAGE}"
        with suppress(Gone):
            while path:
                page = self._graph.get(path, Items, what)
                yield from page.value
                path = page.next

    def content(self, item: Item, what: str) -> Iterator[bytes]:
        """Raises Gone."""
        return self._graph.content(f"{self._items}/{item.id}/content", what)

    def digest(self, item: Item, what: str) -> str | None:
        """The SHA-256 of a file as SharePoint gives it, or by reading it; None if it is gone."""
        hashes = item.file and item.file.hashes
        if hashes and hashes.sha256 and _SHA256.fullmatch(hashes.sha256):
            return hashes.sha256.lower()
        digest = hashlib.sha256()
        try:
            for piece in self.content(item, what):
                digest.update(piece)
        except Gone:
            return None
        return digest.hexdigest()

    # --- writing

    def put(self, path: str, content: bytes) -> Item:
        """A small file in one piece; one of that name is replaced."""
        with self._in_its_folder(path) as address:
            return self._graph.put(f"{address}/content", content, path)

    def begin(self, path: str) -> str:
        """The address of an upload session of a file; one of that name is replaced at its end."""
        # A size, or a type, in here are refused, whatever the documents of Graph say.
        message = {"item": {_CONFLICT: "replace"}}
        with self._in_its_folder(path) as address:
            return self._graph.send("POST", f"{address}/createUploadSession", message, Uploading, path).address

    def delete(self, path: str) -> None:
        self._graph.delete(self._path(path), path)

    def make_folders(self, paths: Iterable[str]) -> None:
        for path in paths:
            with suppress(FileRefused):  # each of its files will say so
                self._folder(path)

    def move(self, item: Item, name: str, modified_ns: int, *, replace: bool) -> None:
        """A file, with another time, to another name. Raises Occupied, FileRefused."""
        above, _, last = name.rpartition("/")
        times = {"lastModifiedDateTime": _written(name, modified_ns)}
        message = {
            "parentReference": {"id": self._folder(above)},
            "name": last,
            "fileSystemInfo": times,
            _CONFLICT: "replace" if replace else "fail",
        }
        path = f"{self._items}/{item.id}"
        try:
            moved = self._graph.send("PATCH", path, message, Item, name)
            if modified_seconds(moved) != modified_ns // 10**9:  # by its time the file is known as ours
                self._graph.send("PATCH", path, {"fileSystemInfo": times}, Item, name)
        except Gone as error:
            raise FileRefused(f"{name} at {self._place}: its part or its folder is gone; it is sent again") from error

    # ---

    def _locate(self, site: str, library: str, folder: str) -> tuple[str, str]:
        """Where the items of the library are, and the id of the folder."""
        host, _, path = site.partition("/")
        try:
            found = self._graph.get(f"/sites/{host}:/{quote(path)}" if path else f"/sites/{host}", _Site, site)
            drives = self._graph.get(f"/sites/{quote(found.id, safe=',')}/drives", _Drives, site).value
        except Gone as error:
            raise DestinationUnreachable(f"there is no site {site}; correct to") from error
        drive = _named(drives, library)
        if drive is None:
            names = ", ".join(each.name for each in drives) or "none"
            raise DestinationUnreachable(f"{site} has no library {library}, but {names}; correct to")
        path = f"root:/{quote(folder)}" if folder else "root"
        root = self._graph.find(f"/drives/{quote(drive.id)}/{path}?{_FIELDS}", folder)
        if root is None or root.folder is None:
            raise DestinationUnreachable(f"there is no folder {self._place}; make it there, or correct to")
        return f"/drives/{quote(drive.id)}/items", root.id

    def _path(self, name: str) -> str:
        return f"{self._items}/{self.root}:/{quote(name)}" if name else f"{self._items}/{self.root}"

    @contextmanager
    def _in_its_folder(self, path: str) -> Iterator[str]:
        """The path of a file that may not be there yet, in a folder that is made if need be."""
        above, _, name = path.rpartition("/")
        try:
            yield f"{self._items}/{self._folder(above)}:/{quote(name)}:"
        except Gone as error:
            self._folders.pop(above, None)
            raise DestinationUnreachable(f"{self._place} has lost the folder {above}; it is made again") from error

    def _folder(self, path: str) -> str:
        """The id of a folder, which is made if it is not there."""
        if path not in self._folders:
            if self._characters + len(path) > _MOST_CHARACTERS:
                raise FileRefused(f"{path} is longer than SharePoint takes; shorten it with rename")
            item = self.lookup(path) or self._make_folder(path)
            if item.folder is None:
                raise FileRefused(f"{path} at {self._place} is a file, where a folder should be; rename it there")
            self._folders[path] = item.id
        return self._folders[path]

    def _make_folder(self, path: str) -> Item:
        above, _, name = path.rpartition("/")
        message = {"name": name, "folder": {}, _CONFLICT: "fail"}
        try:
            return self._graph.send("POST", f"{self._items}/{self._folder(above)}/children", message, Item, path)
        except (Occupied, Gone) as error:
            if item := self.lookup(path):  # somebody else was quicker
                return item
            raise DestinationUnreachable(f"the folder {path} at {self._place} comes and goes; try again") from error


def _named(drives: Sequence[_Drive], library: str) -> _Drive | None:
    """By what a person sees, else by what stands in the address of the library."""
    names = {unquote(urlsplit(drive.url).path).rpartition("/")[2].casefold(): drive for drive in drives}
    names |= {drive.name.casefold(): drive for drive in drives}
    return names.get(library.casefold())


def modified_seconds(item: Item) -> int:
    """When a file was changed, in seconds since 1970; 0 if SharePoint does not say."""
    text = item.times and item.times.modified
    try:
        return math.floor(dt.datetime.fromisoformat(text).timestamp()) if text else 0
    except ValueError:
        return 0


def _written(name: str, modified_ns: int) -> str:
    try:
        moment = dt.datetime.fromtimestamp(modified_ns // 10**9, dt.UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise FileRefused(f"{name} is of a time that SharePoint does not have; touch the file") from error
    return moment.replace(tzinfo=None).isoformat() + "Z"
