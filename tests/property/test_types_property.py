"""Random values of every kind: over the wire, into each database and back they mean the same, or are refused."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import combinations, product
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from pusher.central.migrate import upgrade
from pusher.central.store import Store
from pusher.push.source import Source
from pusher.schema.engine import open_engine
from pusher.schema.plan import TablePlan, make_plan
from pusher.schema.reading import plain_columns, read
from pusher.schema.reflect import reflect
from pusher.schema.storable import Unstorable, to_parameter
from pusher.schema.writing import to_parameters
from pusher.wire import PROTOCOL
from pusher.wire.batch import Batch, decode, encode, pack
from pusher.wire.fingerprint import canonical, canonical_one_by_one, fingerprint
from pusher.wire.tables import Column, Kind, RowSet, Table
from pusher.wire.values import from_wire, to_wire
from tests.conftest import DIALECTS
from tests.extremes import connect, execute
from tests.servers import DatabaseServer

_PAIRS = list(product(DIALECTS, DIALECTS))
_settings = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# --- plain values, as the reader of each dialect gives them

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_damaged = st.binary(max_size=10).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
_floats = st.floats(allow_nan=False, allow_infinity=False)
_singles = st.floats(allow_nan=False, allow_infinity=False, width=32)
_decimals = st.decimals(-(10**20) + 1, 10**20 - 1, places=10).map(lambda number: f"{number:f}")
_days = st.dates(dt.date(1000, 1, 1)).map(dt.date.isoformat)
_datetimes = st.datetimes(dt.datetime(1000, 1, 1)).map(dt.datetime.isoformat)
_instants = st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2038, 1, 18)).map(
    lambda moment: f"{moment.isoformat()}+00:00"
)
_times = st.times().map(dt.time.isoformat)
_documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | _floats | _texts.filter(lambda text: "\0" not in text),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_texts.filter(lambda t: "\0" not in t), inner, max_size=3)
    ),
    max_leaves=6,
).map(json.dumps)
_uuids = st.uuids().map(str)

_NATURAL: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: _floats,
    Kind.SINGLE: _singles,
    Kind.DECIMAL: _decimals,
    Kind.BOOLEAN: st.booleans(),
    Kind.TEXT: _texts,
    Kind.BYTES: st.binary(max_size=40),
    Kind.DATE: _days,
    Kind.TIME: _times,
    Kind.DATETIME: _datetimes,
    Kind.INSTANT: _instants,
    Kind.JSON: _documents,
    Kind.UUID: _uuids,
}
# What one dialect has beyond the others.
_PECULIAR: dict[str, dict[Kind, st.SearchStrategy[Any]]] = {
    "mariadb": {
        Kind.INTEGER: st.integers(0, 2**64 - 1),
        Kind.BOOLEAN: st.integers(-128, 127),
        Kind.DATE: st.just("0000-00-00") | st.integers(0, 12).map(lambda month: f"2013-{month:02}-00"),
        Kind.DATETIME: st.just("0000-00-00T00:00:00"),
        Kind.TIME: st.integers(0, 838).map(lambda hours: f"-{hours:02}:59:59.5"),
    },
    "postgresql": {
        Kind.FLOAT: st.floats(),
        Kind.SINGLE: st.floats(width=32),
        Kind.DECIMAL: st.sampled_from(["NaN", "Infinity"]),
        Kind.DATE: st.sampled_from(["infinity", "4713-01-01 BC", "10000-01-01"]),
        Kind.DATETIME: st.sampled_from(["-infinity", "0044-03-15T12:00:00.25 BC", "294276-12-31T00:00:00"]),
        Kind.INSTANT: st.sampled_from(["infinity", "0044-03-15T12:00:00+00:00 BC"]),
        Kind.TIME: st.just("24:00:00"),
    },
    "sqlite": {},
}
# SQLite holds anything anywhere. Texts that look like something are what a database may be tempted by.
_tempting = st.from_regex(
    r"\A[ +-]?[0-9]{1,4}([-.:/T ][0-9]{1,2}){0,5}([eE]-?[0-9]{1,3}|\.[0-9]{1,8}|Z|\+02(:00)?| BC)?\Z"
) | st.sampled_from(
    ["now", "today", "infinity", "NaN", "inf", "true", "yes", "null", "1e400", "0x10", "{}", "allballs"]
)
_strays = (
    st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | _texts
    | _damaged
    | _tempting
    | st.binary(max_size=10)
    | st.one_of(*_NATURAL.values())
)


def values_of(dialect: str, kind: Kind) -> st.SearchStrategy[Any]:
    natural = _NATURAL[kind] | _PECULIAR[dialect].get(kind, st.nothing())
    if dialect == "postgresql" and kind is Kind.TEXT:
        natural = natural.filter(lambda text: "\0" not in text)
    return natural | _strays if dialect == "sqlite" else natural


# --- pure: the wire and the canonical form


@given(data=st.data(), kind=st.sampled_from(Kind), dialect=st.sampled_from(DIALECTS))
@settings(_settings, max_examples=40)
def test_the_wire_gives_back_what_it_was_given(data: st.DataObject, kind: Kind, dialect: str) -> None:
    column = data.draw(st.lists(st.none() | values_of(dialect, kind) | st.floats(), max_size=8))
    back = from_wire(kind, msgspec.json.decode(msgspec.json.encode(to_wire(kind, column))))
    assert list(map(repr, back)) == list(map(repr, column))


_MEANINGS: dict[Kind, Callable[[Any], object]] = {
    Kind.DECIMAL: Decimal,
    Kind.JSON: lambda text: _hashable(json.loads(text, parse_float=Decimal, parse_int=Decimal)),
    Kind.UUID: uuid.UUID,
    Kind.TIME: dt.time.fromisoformat,
    Kind.DATETIME: dt.datetime.fromisoformat,
    Kind.INSTANT: dt.datetime.fromisoformat,
}


def _itself(value: Any) -> object:
    return value


def _hashable(document: Any) -> object:
    """Keeps true and 1 apart, which Python does not."""
    if isinstance(document, dict):
        return ("object", frozenset((name, _hashable(value)) for name, value in document.items()))
    if isinstance(document, list):
        return ("array", tuple(map(_hashable, document)))
    return (type(document).__name__, document)


@given(data=st.data(), kind=st.sampled_from(Kind))
@settings(_settings, max_examples=40)
def test_forms_are_equal_exactly_if_values_are(data: st.DataObject, kind: Kind) -> None:
    values = data.draw(st.lists(_NATURAL[kind], min_size=2, max_size=6))
    if kind in (Kind.FLOAT, Kind.SINGLE):
        values += [0.0, -0.0, 5e-324 if kind is Kind.FLOAT else 2.0**-149]
    elif kind is Kind.INTEGER:
        values += [value + 1 for value in values]
    column = Column(name="c", kind=kind, scale=10 if kind is Kind.DECIMAL else None)
    forms = canonical(column, values)
    meaning = _MEANINGS.get(kind, _itself)
    for (one, form), (other, other_form) in combinations(zip(values, forms, strict=True), 2):
        assert (form == other_form) == (meaning(one) == meaning(other)), (one, other)


@given(data=st.data(), kind=st.sampled_from(Kind), dialect=st.sampled_from(DIALECTS))
@settings(_settings, max_examples=40)
def test_whole_columns_are_treated_as_value_by_value(data: st.DataObject, kind: Kind, dialect: str) -> None:
    """The short cuts of canonical forms and of binding give byte for byte what the long way gives."""
    column = Column(name="c", kind=kind, declared=data.draw(st.sampled_from(["", "INTEGER", "CHAR(5)"])),
                    length=data.draw(st.sampled_from([None, 5])), nullable=data.draw(st.booleans()))  # fmt: skip
    one_sort = st.sampled_from(
        [_NATURAL[kind], st.none() | _NATURAL[kind], _strays, st.datetimes().map(lambda at: at.isoformat()[:19])]
    )
    values = data.draw(one_sort.flatmap(lambda sort: st.lists(sort, max_size=8)))
    assert canonical(column, values) == canonical_one_by_one(column, values)
    singly, refused = [], {}
    for index, value in enumerate(values):
        try:
            singly.append(to_parameter(dialect, column, value))
        except Unstorable as error:
            singly.append(None)
            refused[index] = f"c: {error}"
    parameters, told = to_parameters(dialect, column, values)
    assert told == refused
    assert list(map(repr, parameters)) == list(map(repr, singly))


@given(
    data=st.data(), kind=st.sampled_from([Kind.TIME, Kind.DATETIME, Kind.INSTANT]), scale=st.none() | st.integers(0, 6)
)
@settings(_settings, max_examples=40)
def test_whole_columns_of_moments_are_read_as_value_by_value(
    data: st.DataObject, kind: Kind, scale: int | None
) -> None:
    """A NULL among the texts makes the reader look at each of them."""
    as_written = _NATURAL[kind].map(lambda text: text.replace("T", " ").replace("+00:00", "+00"))
    exact = as_written.map(lambda text: text if "." in text else f"{text}.000000")
    one_sort = st.sampled_from([as_written, exact, as_written | exact, _NATURAL[kind], as_written | _tempting | _texts])
    values = data.draw(one_sort.flatmap(lambda sort: st.lists(sort, min_size=1, max_size=8)))
    table = Table(name="t", columns=(Column(name="c", kind=kind, scale=scale),))
    (whole,) = plain_columns(table, ("c",), [values]).columns
    (singly,) = plain_columns(table, ("c",), [[*values, None]]).columns
    assert [*whole, None] == singly
    for before, after in zip(values, whole, strict=True):
        column = table.columns[0]
        if not before.endswith("+00"):
            assert canonical_one_by_one(column, [after]) == canonical_one_by_one(column, [before])


# --- through real databases

_COLUMNS = {
    Kind.INTEGER: ("BIGINT", "BIGINT", "BIGINT"),
    Kind.FLOAT: ("DOUBLE", "DOUBLE PRECISION", "DOUBLE"),
    Kind.SINGLE: ("FLOAT", "REAL", "REAL"),
    Kind.DECIMAL: ("DECIMAL(30,10)", "NUMERIC(30,10)", "DECIMAL(30,10)"),
    Kind.BOOLEAN: ("BOOLEAN", "BOOLEAN", "BOOLEAN"),
    Kind.TEXT: ("LONGTEXT", "TEXT", "TEXT"),
    Kind.BYTES: ("LONGBLOB", "BYTEA", "BLOB"),
    Kind.DATE: ("DATE", "DATE", "DATE"),
    Kind.TIME: ("TIME(6)", "TIME", "TIME"),
    Kind.DATETIME: ("DATETIME(6)", "TIMESTAMP", "DATETIME"),
    Kind.INSTANT: ("TIMESTAMP(6) NULL", "TIMESTAMPTZ", "TIMESTAMP"),
    Kind.JSON: ("JSON", "JSONB", "JSON"),
    Kind.UUID: ("UUID", "UUID", "CHAR(36)"),
}
_KINDS = tuple(_COLUMNS)
_NAMES = tuple(f"{kind.value}_" for kind in _KINDS)
# What a site's own driver writes and reads, without pusher: integers, floats, decimals, text, datetimes.
_NATIVE = (Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL, Kind.TEXT, Kind.DATETIME)


class Side:
    """A database with a table of every kind, as a site and as central; emptied for each example."""

    def __init__(self, dialect: str, url: str) -> None:
        self.dialect = dialect
        self.url = url
        self.engine: Engine = open_engine(url, create=True)
        place = DIALECTS.index(dialect)
        types = ", ".join(f"{name} {_COLUMNS[kind][place]}" for name, kind in zip(_NAMES, _KINDS, strict=True))
        natives = ", ".join(f"{kind.value}_ {_COLUMNS[kind][place]}" for kind in _NATIVE)
        at = {"mariadb": "DATETIME(6)", "postgresql": "TIMESTAMP", "sqlite": "DATETIME"}[dialect]
        execute(url, f"CREATE TABLE kinds (id BIGINT NOT NULL PRIMARY KEY, {types})")
        execute(url, f"CREATE TABLE natives (id BIGINT NOT NULL PRIMARY KEY, at {at} NOT NULL, {natives})")
        upgrade(self.engine, only_bookkeeping=True)
        self.store = Store(self.engine)
        self.epochs = 0

    def table(self, name: str) -> Table:
        return reflect(self.engine).table(name)

    def empty(self, name: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"DELETE FROM {name}"))

    def push(self, table: Table, kinds: tuple[Kind, ...], rows: RowSet) -> dict[int, str]:
        """One batch over the wire's bytes; returns the reason for each row that was refused."""
        self.epochs += 1
        batch = Batch(
            protocol=PROTOCOL,
            site="site",
            epoch=str(self.epochs),
            table=table.name,
            sequence=1,
            key=("id",),
            origin=None,
            first=(0,),
            last=(1,),
            fingerprint=fingerprint([table.column(name) for name in rows.names], rows),
            rows=pack(kinds, rows),
        )
        receipt = self.store.push(decode(encode(batch), Batch))
        assert receipt.stored + len(receipt.refused) == len(rows)
        return {each.index: each.reason for each in receipt.refused}

    def stored(self, table: Table, names: tuple[str, ...]) -> RowSet:
        with self.engine.connect() as connection:
            return read(connection, self.dialect, table, names, lambda select: select.order_by(sa.text("id")))


@pytest.fixture(scope="module")
def sides(
    servers: Callable[[str], DatabaseServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Side]]:
    """Gives the site (or central) of a dialect, made when first asked for."""
    made: dict[tuple[str, str], Side] = {}

    def side(role: str, dialect: str) -> Side:
        if (role, dialect) not in made:
            file = tmp_path_factory.mktemp(role) / "database.db"
            file.touch()
            url = f"sqlite:///{file}" if dialect == "sqlite" else servers(dialect).new_database()
            made[role, dialect] = Side(dialect, url)
        return made[role, dialect]

    yield side
    for each in made.values():
        each.engine.dispose()


@pytest.mark.parametrize(("here", "there"), _PAIRS)
def test_plain_values_are_stored_unchanged_or_refused(here: str, there: str, sides: Callable[[str, str], Side]) -> None:
    """Each row holds one value of one kind, as the reader of `here` would give it."""
    central = sides("central", there)
    table = central.table("kinds")
    cell = st.sampled_from(range(len(_KINDS))).flatmap(
        lambda place: st.tuples(st.just(place), values_of(here, _KINDS[place]))
    )

    @given(cells=st.lists(cell, min_size=1, max_size=40))
    @settings(_settings, max_examples=15)
    def run(cells: list[tuple[int, Any]]) -> None:
        central.empty("kinds")
        columns = [[value if at == place else None for at, value in cells] for place in range(len(_KINDS))]
        rows = RowSet(names=("id", *_NAMES), columns=[list(range(len(cells))), *columns])
        refused = central.push(table, (Kind.INTEGER, *_KINDS), rows)
        for index, reason in refused.items():
            assert _NAMES[cells[index][0]] in reason
        stored = central.stored(table, rows.names)
        kept = [i for i in range(len(cells)) if i not in refused]
        assert stored.column("id") == kept
        sent = rows.take(kept)
        for name in _NAMES:
            column = table.column(name)
            assert canonical(column, stored.column(name)) == canonical(column, sent.column(name)), name

    run()


@pytest.mark.parametrize(("here", "there"), _PAIRS)
def test_rows_of_a_real_site_arrive_unchanged_or_are_refused(
    here: str, there: str, sides: Callable[[str, str], Side]
) -> None:
    """Written and read by bare drivers on both sides, so that pusher's reader is not its own judge."""
    site, central = sides("site", here), sides("central", there)
    plan = _plan(site, central)
    text = _NATURAL[Kind.TEXT].filter(lambda text: "\0" not in text)
    row = st.tuples(*(st.none() | (text if kind is Kind.TEXT else _NATURAL[kind]) for kind in _NATIVE))

    @given(rows=st.lists(row, min_size=1, max_size=30))
    @settings(_settings, max_examples=8)
    def run(rows: list[tuple[Any, ...]]) -> None:
        site.empty("natives")
        central.empty("natives")
        _insert(site, rows)
        (page,) = Source(site.engine).pages(plan, None, None, 1000)
        assert plan.central is not None
        kinds = tuple(plan.local.column(name).kind for name in page.rows.names)
        refused = central.push(plan.central, kinds, page.rows)
        if here == there:
            assert refused == {}
        ids = {page.rows.column("id")[index] for index in refused}
        sent = {id_: cells for id_, cells in _select(site).items() if id_ not in ids}
        assert _select(central) == sent

    run()


def _plan(site: Side, central: Side) -> TablePlan:
    return make_plan(reflect(site.engine), reflect(central.engine), {}).table("natives")


def _insert(site: Side, rows: list[tuple[Any, ...]]) -> None:
    mark = "?" if site.dialect == "sqlite" else "%s"
    marks = ", ".join([mark] * len(_NATIVE))
    connection = connect(site.url)
    cursor = connection.cursor()
    for number, row in enumerate(rows):
        cursor.execute(f"INSERT INTO natives VALUES ({number}, '2026-01-01 00:00:00', {marks})", row)
    cursor.close()
    connection.close()


def _select(side: Side) -> dict[int, list[object]]:
    connection = connect(side.url)
    cursor = connection.cursor()
    cursor.execute("SELECT id, integer_, float_, decimal_, text_, datetime_ FROM natives")
    found = {id_: list(map(_meant, _NATIVE, cells)) for id_, *cells in cursor.fetchall()}
    cursor.close()
    connection.close()
    return found


def _meant(kind: Kind, cell: Any) -> object:
    if kind is Kind.DECIMAL and cell is not None:
        return Decimal(repr(cell) if isinstance(cell, float) else cell)
    if kind is Kind.DATETIME and isinstance(cell, str):
        return dt.datetime.fromisoformat(cell)
    return cell
