"""Whose a row of an entity is: a site's that agents noted as its owner, or the one's that made it over REST."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from models import bookkeeping
from pusher.central.identity import IdentityMap, chunks, key_text
from pusher.central.rows import Key, Target


def stranger(target: Target, site: str, key: Key) -> str | None:
    """The site whose row this is, if it is somebody's and not this one's."""
    text = key_text(key)
    owners = {name for name, _ in IdentityMap(target.connection, site, target.table.name).owners([text]).get(text, ())}
    sites = owners | set(authors(target, [text]).values())
    return None if not sites or site in sites else min(sites)


def authors(target: Target, texts: Iterable[str]) -> dict[str, str]:
    """The site that made each of these rows over REST, as far as one did."""
    table = bookkeeping.author
    found: dict[str, str] = {}
    for chunk in chunks(texts):
        query = sa.select(table.c.central_key, table.c.site).where(
            table.c.table_name == target.table.name, table.c.central_key.in_(chunk)
        )
        for text, site in target.connection.execute(query):
            found[text] = site
    return found


def note_author(target: Target, site: str, keys: Iterable[Key]) -> None:
    """These rows were just made by `site`; whoever made one of the same key before, made one that is no more."""
    texts = sorted({key_text(key) for key in keys})
    forget_authors(target, texts)
    place = {"table_name": target.table.name, "site": site}
    if texts:
        target.connection.execute(sa.insert(bookkeeping.author), [place | {"central_key": text} for text in texts])


def forget_authors(target: Target, texts: Iterable[str]) -> None:
    table = bookkeeping.author
    for chunk in chunks(texts):
        here = (table.c.table_name == target.table.name, table.c.central_key.in_(chunk))
        target.connection.execute(sa.delete(table).where(*here))
