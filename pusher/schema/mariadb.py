"""A connection to MariaDB like PyMySQL's own, which opens sooner."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import pymysql.connections


class Connection(pymysql.connections.Connection):
    """Where nothing is said of TLS, PyMySQL speaks it if the server can, and checks no certificate; all the same it
    reads those that the host trusts, for each connection, which takes longer than all else."""

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        if sslp:
            made: ssl.SSLContext = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
            return made
        return _unchecked()


@cache
def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
