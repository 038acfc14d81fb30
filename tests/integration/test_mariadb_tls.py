"""A server of MariaDB that speaks TLS: it is used unasked, and checked if the URL says how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from pusher.errors import Unreachable
from pusher.schema.engine import opened, reaching
from tests.certificates import write_certificate
from tests.servers import MariaDB


class _WithTls(MariaDB):
    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    def _command(self) -> Sequence[str]:
        if not self.certificate.exists():
            write_certificate(self.certificate, "localhost")
        return [*super()._command(), f"--ssl-cert={self.certificate}", f"--ssl-key={self.certificate}"]


@pytest.fixture(scope="module")
def server() -> Iterator[_WithTls]:
    with _WithTls() as server:
        yield server


def _cipher(url: str) -> str:
    with opened(url) as engine, reaching("the database"), engine.connect() as connection:
        return str(connection.execute(sa.text("show session status like 'Ssl_cipher'")).one()[1])


def test_tls_is_spoken_unasked(server: _WithTls) -> None:
    assert _cipher(server.new_database())


def test_a_certificate_that_is_asked_for_is_checked(server: _WithTls, tmp_path: Path) -> None:
    url = server.new_database().replace("127.0.0.1", "localhost")
    other = write_certificate(tmp_path / "other.pem", "localhost")
    assert _cipher(f"{url}?ssl_ca={server.certificate}")
    with pytest.raises(Unreachable, match="certificate"):
        _cipher(f"{url}?ssl_ca={other}")
