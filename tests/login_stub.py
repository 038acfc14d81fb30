"""A stand-in for Microsoft's sign-in, over TLS, for one application of one tenant."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from tests.certificates import write_certificate
from tests.sharepoint_stub import TOKEN

TENANT, CLIENT_ID, SECRET = "contoso.onmicrosoft.com", "11111111-2222-3333-4444-555555555555", "hush-hush"
_REFUSED = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret.\r\nTrace ID: 1"}


class _Handler(BaseHTTPRequestHandler):
    server: Login

    def do_GET(self) -> None:
        if self.path != f"/{TENANT}/v2.0/.well-known/openid-configuration":
            return self._say(400, {"error": "invalid_tenant", "error_description": "AADSTS90002: no such tenant"})
        here = f"{self.server.url}/{TENANT}"
        return self._say(
            200, {"issuer": here, "authorization_endpoint": f"{here}/authorize", "token_endpoint": f"{here}/token"}
        )

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked += 1
        if self.server.failure:
            return self._say(400, self.server.failure)
        if (form["client_id"], form["client_secret"]) != ([CLIENT_ID], [SECRET]):
            return self._say(401, _REFUSED)
        assert form["scope"] == ["https://graph.microsoft.com/.default"]
        return self._say(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": TOKEN})

    def _say(self, status: int, message: object) -> None:
        body = json.dumps(message).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Login(ThreadingHTTPServer):
    """`asked`: how often a token was wanted. `failure`: what it says instead. `cafile`: whom to trust."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"https://localhost:{self.server_port}"
        self.cafile = write_certificate(folder / "login.pem", "localhost")
        self.asked = 0
        self.failure: dict[str, str] | None = None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cafile)
        self.socket = context.wrap_socket(self.socket, server_side=True)


@contextmanager
def login_stub(folder: Path) -> Iterator[Login]:
    server = Login(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
