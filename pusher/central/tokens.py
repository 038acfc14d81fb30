"""The keys of central: made once, shown once, kept only as a hash."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import bookkeeping
from pusher.central.sites import utc_now
from pusher.errors import UsageError
from pusher.schema.engine import reaching, writing

SCOPES = ("push", "read", "import")
_PREFIX = "pusher_"
_USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Token:
    """A key as central knows it; the key itself is known to nobody but its bearer."""

    id: int
    site: str
    scope: str
    created: datetime
    last_used: datetime | None
    revoked: datetime | None


def new_token(engine: Engine, site: str, scope: str) -> str:
    """Makes a key for `site` and returns it: the only time that it can be seen."""
    key = _PREFIX + secrets.token_urlsafe(32)
    table = bookkeeping.token
    with writing(engine).begin() as connection:
        connection.execute(sa.insert(table).values(token_hash=_hash(key), site=site, scope=scope, created=utc_now()))
    return key


def list_tokens(engine: Engine) -> list[Token]:
    table = bookkeeping.token
    columns = (table.c.id, table.c.site, table.c.scope, table.c.created, table.c.last_used, table.c.revoked)
    with engine.connect() as connection:
        return [Token(**row._mapping) for row in connection.execute(sa.select(*columns).order_by(table.c.id))]


def revoke_token(engine: Engine, token_id: int) -> None:
    """Raises UsageError if there is no such key, or it is revoked already."""
    table = bookkeeping.token
    with writing(engine).begin() as connection:
        mine = sa.update(table).where(table.c.id == token_id, table.c.revoked.is_(None)).values(revoked=utc_now())
        if not connection.execute(mine).rowcount:
            raise UsageError(f"there is no valid token {token_id}; see: pusher token list")


def bearer(engine: Engine, key: str) -> Token | None:
    """The token that `key` is, or None if there is none or it is revoked. Raises Unreachable."""
    table = bookkeeping.token
    columns = (table.c.id, table.c.site, table.c.scope, table.c.created, table.c.last_used, table.c.revoked)
    query = sa.select(*columns).where(table.c.token_hash == _hash(key), table.c.revoked.is_(None))
    with reaching("central's database"):
        with engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        token = Token(**row._mapping)
        if token.last_used is None or utc_now() - token.last_used > _USE_NOTED_EVERY:
            with writing(engine).begin() as connection:
                connection.execute(sa.update(table).where(table.c.id == token.id).values(last_used=utc_now()))
    return token


def _hash(key: str) -> str:
    """Plain SHA-256 is enough: the key is 256 bits of chance, which no dictionary holds."""
    return sha256(key.encode()).hexdigest()
