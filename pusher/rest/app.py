"""The web application of the central service: its routes, and what stands before and behind them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy.engine import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from pusher.central.filestore import FileStore
from pusher.central.store import AT_ONCE, RETENTION_DAYS, Store
from pusher.errors import PusherError
from pusher.rest import field, files, health, imports, openapi, pages, sync, tables, writing
from pusher.rest.compression import Compression
from pusher.rest.imports_runs import Imports
from pusher.rest.limits import LimitMiddleware, Limits
from pusher.rest.metrics import CountMiddleware, Metrics
from pusher.rest.problems import http_error, problem, pusher_error, unexpected_error
from pusher.rest.turns import Turns

__all__ = ["make_app", "problem"]

_ANY_NUMBER = Limits()


def make_app(
    engine: Engine,
    retention_days: int = RETENTION_DAYS,
    *,
    read_public: bool = False,
    limits: Limits = _ANY_NUMBER,
    files_folder: Path | None = None,
    locations: Imports | None = None,
) -> Starlette:
    """The service over the database of `engine`, whose tables must be migrated.

    `retention_days`: how long it remembers each batch. `read_public`: anybody may read, without a token.
    `files_folder`: where the files of the sites are kept; None: it takes none. `locations`: that clerks import files
    of; None: there is no such page.
    """
    metrics = Metrics(engine)
    app = Starlette(
        routes=[
            *sync.routes,
            *files.routes,
            *health.routes,
            *openapi.routes,
            *field.routes,
            *writing.routes,
            *tables.routes,
            *imports.routes,
            *pages.routes,
        ],
        middleware=[Middleware(CountMiddleware, metrics), Middleware(LimitMiddleware, limits), Middleware(Compression)],
        exception_handlers={
            PusherError: pusher_error,
            HTTPException: http_error,
            Exception: unexpected_error,
        },
    )
    app.state.engine = engine
    app.state.metrics = metrics
    app.state.read_public = read_public
    app.state.turns = Turns(AT_ONCE)
    app.state.store = Store(engine, retention_days)
    app.state.files = FileStore(files_folder) if files_folder else None
    app.state.imports = locations
    app.state.files_at_once = asyncio.Semaphore(files.AT_ONCE)
    return app
