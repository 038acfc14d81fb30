"""What answers where central should take files, and does not: something else, nothing, or a central without them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pusher.errors import AccessRefused, DestinationUnreachable
from pusher.files.rest import RestDestination
from tests.files_central import sha256, whole
from tests.stage import CentralService


@contextmanager
def stranger(status: int, body: bytes = b"", **headers: str) -> Iterator[str]:
    """Something else that answers HTTP, always the same."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/rest/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"<html>welcome</html>", "its answer is of another kind"),
        (204, b"", "its answer is of another kind"),
        (404, b"<html>none</html>", "HTTP 404"),
        (302, b"", "it points to http://login.example.org/"),
    ],
)
def test_a_stranger_is_not_believed(status: int, body: bytes, why: str) -> None:
    with (
        stranger(status, body, Location="http://login.example.org/") as url,
        closing(RestDestination(url, "x", None, "s")) as there,
    ):
        there._proven["p1"] = sha256(b"")
        for attempt in (
            lambda: there.find(["a"]),
            lambda: there.store([whole("a")]),
            lambda: there.place("p1", "a", 0, replace=False),
            lambda: list(there.listing()),
            lambda: list(there.digests(["a"])),
        ):
            with pytest.raises(DestinationUnreachable, match=f"not a pusher central that takes files: .*{why}"):
                attempt()


def test_a_central_that_is_busy_or_away() -> None:
    with stranger(503, Retry_After="7") as url, closing(RestDestination(url, "x", None, "s")) as there:
        with pytest.raises(DestinationUnreachable, match="HTTP 503") as busy:
            there.parts()
        assert busy.value.retry_after_seconds == 7
    with closing(RestDestination(url, "x", None, "s")) as there:
        with pytest.raises(DestinationUnreachable, match="cannot be reached: Connection refused; is the address right"):
            there.parts()
        with pytest.raises(DestinationUnreachable, match="cannot be reached"):
            list(there.digests(["a"]))


def test_a_central_that_takes_no_files(tmp_path: Path) -> None:
    with CentralService(f"sqlite:///{tmp_path / 'central.db'}") as service:
        token = service.token("north")
        with (
            closing(RestDestination(service.resturl, token, None, "s")) as there,
            pytest.raises(AccessRefused, match="this central takes no files; start it with --files FOLDER"),
        ):
            there.parts()
