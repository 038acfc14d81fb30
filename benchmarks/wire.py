"""The bytes that travel for a row of each table, beside the compressed dump of the table."""

from __future__ import annotations

import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from benchmarks.ends import central, cycle, database, dump_command, fresh, say, site
from benchmarks.results import Measurement, Reference, Series
from models import Base
from pusher.schema.engine import opened
from tests.counting import CountingProxy
from tests.servers import DatabaseServer
from tests.stage import write_config

_GZIP_LEVEL = 6
_GZIP_FORM = 31  # of zlib's window bits: with gzip's header
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TableWire:
    """Bytes, both ways: `idle` of a cycle with nothing new right after the one that brought the table's rows."""

    table: str
    rows: int
    cycle: int
    idle: int
    dump: int

    @property
    def net(self) -> int:
        return max(self.cycle - self.idle, 1)


def wire(server: DatabaseServer, folder: Path, rows: int) -> Measurement:
    found = count_tables(server, folder, rows)
    series = [_series(each) for each in found]
    notes = (
        "both ways, with the headers of HTTP, counted by a TCP proxy; one table's rows come to the site at a time, and "
        "of their cycle's bytes those of a cycle with nothing new are taken off",
        f"a cycle with nothing new: {found[-1].idle:,} B",
        "reference: gzip -6 of mariadb-dump of the table's rows alone, without CREATE TABLE and comments",
    )
    return Measurement(title="wire", rows=rows, series=tuple(series), notes=notes)


def count_tables(server: DatabaseServer, folder: Path, rows: int) -> list[TableWire]:
    """Of each table that has rows, parents first."""
    found = []
    with (
        site(server, rows) as source,
        fresh(server) as target,
        central(server) as service,
        opened(target) as engine,
        CountingProxy(service.port) as proxy,
    ):
        Base.metadata.create_all(engine)
        resturl = f"http://127.0.0.1:{proxy.port}/rest/"
        config = write_config(folder / f"wire-{rows}", "site", target, resturl, service.token("site"))
        _bytes(proxy, config)  # what both sides learn of each other when they first meet
        for table in Base.metadata.sorted_tables:
            if copied := _copy(engine, database(source), table):
                say(f"wire at {rows:,}: {table.name}")
                moved, idle = _bytes(proxy, config), _bytes(proxy, config)
                dump = gzipped_dump(source, table.name)
                found.append(TableWire(table=table.name, rows=copied, cycle=moved, idle=idle, dump=dump))
    return found


def gzipped_dump(url: str, table: str) -> int:
    """The bytes of the rows alone."""
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORM)
    size = 0
    command = dump_command(url, "--no-create-info", "--compact", tables=[table])
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(_CHUNK_BYTES):
            size += len(packer.compress(chunk))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return size + len(packer.flush())


def _series(found: TableWire) -> Series:
    reference = Reference(name="gzip", values=(found.dump / found.rows,))
    name = f"{found.table}, {found.rows:,} rows"
    return Series(name=name, values=(found.net / found.rows,), unit="B a row", against=(reference,))


def _copy(engine: sa.Engine, source: str, table: sa.Table) -> int:
    with engine.begin() as connection:
        columns = ", ".join(f"`{name}`" for name in table.columns.keys())
        copied = connection.exec_driver_sql(
            f"INSERT INTO `{table.name}` ({columns}) SELECT {columns} FROM {source}.`{table.name}`"
        )
    return copied.rowcount


def _bytes(proxy: CountingProxy, config: Path) -> int:
    before = proxy.total
    _, outcome = cycle(config)
    assert not outcome["error"], outcome
    return proxy.total - before
