"""The commands of central: serve, token, db."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_DEFAULT_DB = "sqlite:///central.db"
_DB_HELP = "Central's database: a URL, env:NAME or file:PATH."
_central_db = click.option("--db", metavar="URL", default=_DEFAULT_DB, help=_DB_HELP)
_any_db = click.option("--db", metavar="URL", required=True, help=_DB_HELP)
_only_option = click.option(
    "--only", metavar="NAME", help="bookkeeping: just pusher's own tables, in a database of another program."
)


@click.command()
@_central_db
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=6543, help="Port to listen on; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Processes that serve.")
@click.option(
    "--retention-days",
    type=click.IntRange(1, 100_000),
    default=400,
    help="Days that each batch is remembered; longer than any outage.",
)
@click.option("--read", default="token", help="Who may read: public (anybody) or token.")
@click.option(
    "--requests-per-minute",
    type=click.IntRange(1),
    default=600,
    help="Of one token, or of one address without a token; each worker counts.",
)
@click.option("--files", metavar="FOLDER", help="Take files too: each site's into a folder of its name in there.")
@click.option(
    "--imports", metavar="FILE", help="Pages to import CSV files by, for the locations of kind import in this file."
)
@click.option("--tls-cert", metavar="FILE", help="Certificate chain, to speak TLS.")
@click.option("--tls-key", metavar="FILE", help="Its key, without a password.")
@click.option(
    "--trusted-proxy",
    metavar="ADDRESS",
    multiple=True,
    help="A proxy whose X-Forwarded-For and -Proto count; may be repeated.",
)
@click.option("--alerts", metavar="FILE", help="Tell of sites that stop reporting, as [alerts] in this file says.")
@click.pass_obj
def serve(
    context: Context,
    db: str,
    host: str,
    port: int,
    workers: int,
    retention_days: int,
    read: str,
    requests_per_minute: int,
    files: str | None,
    imports: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    trusted_proxy: tuple[str, ...],
    alerts: str | None,
) -> None:
    """Run the central service. The default database is made on first start; any other needs `pusher db upgrade`."""
    from pusher import log
    from pusher.errors import UsageError
    from pusher.rest.server import Settings
    from pusher.rest.server import serve as run

    if read not in ("public", "token"):
        raise UsageError(f"--read takes public or token, not {read}")
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    tls = (tls_cert, tls_key) if tls_cert and tls_key else None
    settings = Settings(
        retention_days=retention_days,
        read_public=read == "public",
        requests_per_minute=requests_per_minute,
        files=files,
        imports=imports,
    )
    log.configure(verbose=context.verbose)
    make = db == _DEFAULT_DB
    with _watching(alerts, _url(db)):
        run(_url(db), host, port, workers, make=make, settings=settings, tls=tls, trusted_proxies=list(trusted_proxy))


def _watching(alerts: str | None, url: str) -> AbstractContextManager[None]:
    """The process that supervises the workers watches, so that only one does."""
    if alerts is None:
        return nullcontext()
    from pusher.alerts.sites import watching_sites

    return watching_sites(Path(alerts), url)


@click.group(cls=Group)
def token() -> None:
    """Central's keys, one for each site."""


@token.command("new")
@click.argument("site")
@_central_db
@click.option("--scope", default="push", help="push, read or import.")
@as_json
def token_new(site: str, db: str, scope: str, json: bool) -> None:
    """Make a key for a site and print it. It is shown only now: central keeps no more than its hash."""
    from pusher.central.tokens import SCOPES, new_token
    from pusher.config_keys import SITE_NAME
    from pusher.errors import UsageError

    if scope not in SCOPES:
        raise UsageError(f"there is no scope {scope}; use {' or '.join(SCOPES)}")
    if not SITE_NAME.fullmatch(site):
        raise UsageError("a site's name has letters, digits, dots, dashes and underscores, at most 100")
    key = new_token(_ready(db), site, scope)
    if json:
        print_json({"site": site, "scope": scope, "token": key})
    else:
        say(key)


@token.command("list")
@_central_db
@as_json
def token_list(db: str, json: bool) -> None:
    """List the keys: whose, for what, last used when."""
    from pusher.central.tokens import list_tokens

    tokens = list_tokens(_ready(db))
    if json:
        print_json(tokens)
        return
    rows = [
        (str(t.id), t.site, t.scope, str(t.created), str(t.last_used or "never"), str(t.revoked or "")) for t in tokens
    ]
    print_table("", ("id", "site", "scope", "created", "last used", "revoked"), rows)


@token.command("revoke")
@click.argument("token_id", metavar="ID", type=int)
@_central_db
def token_revoke(token_id: int, db: str) -> None:
    """Revoke a key; it fails at once.

    ID: its number, as `pusher token list` shows it.
    """
    from pusher.central.tokens import revoke_token

    revoke_token(_ready(db), token_id)
    say(f"token {token_id} is revoked")


@click.group(cls=Group)
def db() -> None:
    """The tables of a database."""


@db.command("upgrade")
@_any_db
@_only_option
def db_upgrade(db: str, only: str | None) -> None:
    """Make the tables, or bring them up to date. Does no harm when they are."""
    from pusher.central.migrate import current, upgrade
    from pusher.schema.engine import open_engine

    engine = open_engine(_url(db), create=True)
    upgrade(engine, only_bookkeeping=_only(only))
    say(", ".join(f"{branch} is at {revision}" for branch, revision in current(engine).items() if revision))


@db.command("current")
@_any_db
@as_json
def db_current(db: str, json: bool) -> None:
    """Show the revisions a database is at."""
    from pusher.central.migrate import current
    from pusher.schema.engine import open_engine

    revisions = current(open_engine(_url(db)))
    if json:
        print_json(revisions)
        return
    for branch, revision in revisions.items():
        say(f"{branch}: {revision or 'none'}")


@db.command("check")
@_any_db
@_only_option
@as_json
def db_check(db: str, only: str | None, json: bool) -> None:
    """Compare the tables with what this version expects. Ends 1 if they differ."""
    from pusher.central.migrate import check
    from pusher.schema.engine import open_engine

    found = check(open_engine(_url(db)), only_bookkeeping=_only(only))
    if json:
        print_json(found)
    else:
        for sentence in found or ["the tables are as they should be"]:
            say(sentence)
    sys.exit(1 if found else 0)


def _only(text: str | None) -> bool:
    from pusher.errors import UsageError

    if text not in (None, "bookkeeping"):
        raise UsageError(f"--only takes bookkeeping, not {text}")
    return text is not None


def _url(text: str) -> str:
    from pusher.config_keys import secret_argument

    return secret_argument(text)


def _ready(db: str) -> Engine:
    """Central's database; the default one is made on first use, as `serve` does."""
    from pusher.rest.server import open_central

    return open_central(_url(db), make=db == _DEFAULT_DB)
