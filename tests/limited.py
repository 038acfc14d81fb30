"""The central service in this process, as `pusher serve` runs it, with limits that a test chooses."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import uvicorn
from starlette.routing import Route

from pusher.central.migrate import upgrade
from pusher.rest.app import make_app
from pusher.rest.imports_runs import Imports
from pusher.rest.limits import Limits
from pusher.rest.server import PatientProtocol, listen
from pusher.schema.engine import opened
from tests.http_central import Central


@contextmanager
def limited(folder: Path, limits: Limits, *routes: Route, locations: Imports | None = None) -> Iterator[Central]:
    """A service with `limits`, over a database of its own. `routes`: of the test, before those of the service.
    `locations`: to import from."""
    url = f"sqlite:///{folder / 'central.db'}"
    with opened(url, create=True) as engine, closing(listen("127.0.0.1", 0)) as listening:
        upgrade(engine)
        app = make_app(engine, limits=limits, locations=locations)
        app.router.routes[:0] = routes
        service = uvicorn.Server(uvicorn.Config(app, log_level="critical", http=PatientProtocol, ws="none"))
        thread = threading.Thread(target=service.run, args=([listening],))
        thread.start()
        while not service.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield Central(f"http://127.0.0.1:{listening.getsockname()[1]}/rest/", engine)
        finally:
            service.should_exit = True
            thread.join()
