"""Central in this process, as `pusher serve --files` runs it: for tests of the files that go there."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import requests
import uvicorn

from pusher.files.destination import Whole
from pusher.files.rest import RestDestination
from pusher.rest.app import make_app
from pusher.rest.server import PatientProtocol, listen
from pusher.schema.engine import opened
from pusher.wire.batch import encode
from pusher.wire.files import SENDER
from tests.http_central import Central, bearer
from tests.prepared import prepare
from tests.stage import wait_until

MODIFIED_NS = 1_700_000_000_123_456_789


@dataclass(frozen=True)
class FilesCentral(Central):
    """`root`: the folder of all sites."""

    root: Path

    def connect(self, token: str, sender: str = "instrument") -> RestDestination:
        return RestDestination(self.resturl, token, None, sender)

    def site(self, name: str) -> SiteThere:
        return SiteThere(self, name, self.token(name))

    @contextmanager
    def requests(self, route: str, number: int) -> Iterator[None]:
        """Fails unless it answers so many requests of an address meanwhile. (It counts one when it has answered.)"""
        before = self._answered(route)
        yield
        wait_until(lambda: self._answered(route) - before >= number)
        assert self._answered(route) - before == number

    def _answered(self, route: str) -> float:
        url = self.resturl.replace("/rest/", "/metrics")
        metrics = requests.get(url, headers=bearer(self.token("watcher", "read")), timeout=30)
        lines = [line for line in metrics.text.splitlines() if line.startswith("pusher_http_requests_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if f'route="/files/v1/{route}"' in line)


@dataclass(frozen=True)
class SiteThere:
    """What a site has at central, and its token for requests that are written by hand."""

    central: FilesCentral
    name: str
    token: str

    @property
    def folder(self) -> Path:
        return self.central.root / self.name

    @property
    def parts(self) -> Path:
        return self.folder / ".pusher/instrument"

    def connect(self, sender: str = "instrument") -> RestDestination:
        return self.central.connect(self.token, sender)

    def call(
        self, method: str, path: str, body: bytes | msgspec.Struct = b"", token: str | None = None, **headers: str
    ) -> requests.Response:
        """`headers`: with _ for -. The address goes out just as it is here."""
        raw = body if isinstance(body, bytes) else encode(body)
        sent = bearer(token or self.token) | {SENDER: "instrument", "Accept-Encoding": "identity"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.central.resturl.replace("/rest/", "/files/v1/")
        with requests.Session() as session:
            request = session.prepare_request(requests.Request(method, url, data=raw, headers=sent))
            request.url = url + path
            return session.send(request, timeout=30)


def whole(name: str, content: bytes = b"1;2\n", *, replace: bool = False) -> Whole:
    return Whole(name=name, content=content, sha256=sha256(content), modified_ns=MODIFIED_NS, replace=replace)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def files_central(folder: Path) -> Iterator[FilesCentral]:
    """A service over a database and a folder of files in `folder`."""
    root = folder / "files"
    root.mkdir()
    with opened(f"sqlite:///{folder / 'central.db'}", create=True) as engine, closing(listen("127.0.0.1", 0)) as socket:
        prepare(engine)
        app = make_app(engine, files_folder=root)
        service = uvicorn.Server(uvicorn.Config(app, log_level="critical", http=PatientProtocol, ws="none"))
        thread = threading.Thread(target=service.run, args=([socket],))
        thread.start()
        while not service.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield FilesCentral(f"http://127.0.0.1:{socket.getsockname()[1]}/rest/", engine, root)
        finally:
            service.should_exit = True
            thread.join()
