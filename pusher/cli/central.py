"""The commands of central: serve, token, db."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pusher.cli.context import Json, of, print_json, print_table, say

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_DEFAULT_DB = "sqlite:///central.db"
Db = Annotated[str, typer.Option("--db", help="Central's database: a URL, env:NAME or file:PATH.", metavar="URL")]


def add_to(app: typer.Typer) -> None:
    app.command()(serve)
    token = typer.Typer(help="Central's keys, one for each site.", no_args_is_help=True)
    token.command("new")(token_new)
    token.command("list")(token_list)
    token.command("revoke")(token_revoke)
    app.add_typer(token, name="token")
    db = typer.Typer(help="The tables of a database.", no_args_is_help=True)
    db.command("upgrade")(db_upgrade)
    db.command("current")(db_current)
    db.command("check")(db_check)
    app.add_typer(db, name="db")


def serve(
    context: typer.Context,
    db: Db = _DEFAULT_DB,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 6543,
    workers: Annotated[int, typer.Option(help="Processes that serve.", min=1, max=64)] = 1,
    retention_days: Annotated[
        int, typer.Option(help="Days that each batch is remembered; longer than any outage.", min=1, max=100_000)
    ] = 400,
    read: Annotated[str, typer.Option(help="Who may read: public (anybody) or token.")] = "token",
    requests_per_minute: Annotated[
        int, typer.Option(help="Of one token, or of one address without a token; each worker counts.", min=1)
    ] = 600,
    tls_cert: Annotated[str | None, typer.Option(help="Certificate chain, to speak TLS.", metavar="FILE")] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its key, without a password.", metavar="FILE")] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="A proxy whose X-Forwarded-For and -Proto count; may be repeated.", metavar="ADDRESS"),
    ] = None,
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
        retention_days=retention_days, read_public=read == "public", requests_per_minute=requests_per_minute
    )
    log.configure(verbose=of(context).verbose)
    make = db == _DEFAULT_DB
    run(_url(db), host, port, workers, make=make, settings=settings, tls=tls, trusted_proxies=trusted_proxy)


def token_new(
    site: Annotated[str, typer.Argument(help="The site that may use it.")],
    db: Db = _DEFAULT_DB,
    scope: Annotated[str, typer.Option(help="push or read.")] = "push",
    json: Json = False,
) -> None:
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


def token_list(db: Db = _DEFAULT_DB, json: Json = False) -> None:
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


def token_revoke(
    token_id: Annotated[int, typer.Argument(help="Its id, as `pusher token list` shows it.")], db: Db = _DEFAULT_DB
) -> None:
    """Revoke a key; it fails at once."""
    from pusher.central.tokens import revoke_token

    revoke_token(_ready(db), token_id)
    say(f"token {token_id} is revoked")


OnlyBookkeeping = Annotated[
    str | None, typer.Option("--only", help="bookkeeping: just pusher's own tables, in a database of another program.")
]


def db_upgrade(db: Db, only: OnlyBookkeeping = None) -> None:
    """Make the tables, or bring them up to date. Does no harm when they are."""
    from pusher.central.migrate import current, upgrade
    from pusher.schema.engine import open_engine

    engine = open_engine(_url(db), create=True)
    upgrade(engine, only_bookkeeping=_only(only))
    say(", ".join(f"{branch} is at {revision}" for branch, revision in current(engine).items() if revision))


def db_current(db: Db, json: Json = False) -> None:
    """Show the revisions a database is at."""
    from pusher.central.migrate import current
    from pusher.schema.engine import open_engine

    revisions = current(open_engine(_url(db)))
    if json:
        print_json(revisions)
        return
    for branch, revision in revisions.items():
        say(f"{branch}: {revision or 'none'}")


def db_check(db: Db, only: OnlyBookkeeping = None, json: Json = False) -> None:
    """Compare the tables with what this version expects. Ends 1 if they differ."""
    from pusher.central.migrate import check
    from pusher.schema.engine import open_engine

    found = check(open_engine(_url(db)), only_bookkeeping=_only(only))
    if json:
        print_json(found)
    else:
        for sentence in found or ["the tables are as they should be"]:
            say(sentence)
    raise typer.Exit(1 if found else 0)


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
