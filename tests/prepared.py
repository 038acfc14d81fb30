"""Central's tables, as `pusher db upgrade` makes them: in an empty database by the statements of the last time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from pusher.central.migrate import upgrade
from pusher.schema.engine import writing

_MAKING = ("CREATE ", "ALTER ", "INSERT ", "UPDATE ", "DROP ", "DELETE ")
_known: dict[tuple[str, bool], list[tuple[str, Any]]] = {}


def prepare(engine: Engine, *, only_bookkeeping: bool = False) -> None:
    """As `upgrade`, which a database that is not empty really gets."""
    if sa.inspect(engine).get_table_names():
        upgrade(engine, only_bookkeeping=only_bookkeeping)
        return
    statements = _known.get((engine.dialect.name, only_bookkeeping))
    if statements is None:
        _known[engine.dialect.name, only_bookkeeping] = _recorded(engine, only_bookkeeping)
        return
    with writing(engine).begin() as connection:
        for statement, parameters in statements:
            connection.exec_driver_sql(statement, parameters)


def _recorded(engine: Engine, only_bookkeeping: bool) -> list[tuple[str, Any]]:
    found = []

    def hear(_: Connection, __: object, statement: str, parameters: Any, *___: object) -> None:
        if statement.lstrip().upper().startswith(_MAKING):
            found.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", hear)
    try:
        upgrade(engine, only_bookkeeping=only_bookkeeping)
    finally:
        sa.event.remove(engine, "before_cursor_execute", hear)
    return found
