"""From the tables of both sides and the operator's word to what is done with each table, parents first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from pusher.config import TableSettings
from pusher.schema import guess
from pusher.schema.guess import Role
from pusher.schema.names import pair, pair_columns, references
from pusher.wire.tables import Column, Reference, Schema, Table

_ACTIVE_UNTIL = "enddate"
_SETTLE_SECONDS = 5.0
_LOOKBACK_SECONDS = 3600.0
_MAX_DELETE_FRACTION = 0.1


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key as a push sees it: `columns` hold `parent_columns` of `parent` (all local names).

    `deferred`: the parent comes later in the order, so the column is first sent as NULL and then again.
    """

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    deferred: bool = False


class TablePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with one table. All column names are the site's; `central_names` translates.

    `key`: the natural key, () for the origin key. `sent`: the columns that travel. `order`: the columns of
    a cursor. `captured`: triggers at the site note each change. `propagates_deletes`: a repair deletes what only
    central has, at most this part of it. `stopped`: why the table cannot be pushed, None if it can.
    """

    local: Table
    central: Table | None
    role: Role
    role_reason: str
    key: tuple[str, ...] = ()
    key_reason: str = ""
    order: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    central_names: Mapping[str, str] = msgspec.field(default_factory=dict)
    only_here: tuple[str, ...] = ()
    only_central: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    direction: str = "up"
    agree: tuple[str, ...] = ()
    settle_seconds: float = _SETTLE_SECONDS
    lookback_seconds: float = _LOOKBACK_SECONDS
    captured: bool = False
    propagates_deletes: bool = False
    max_delete_fraction: float = _MAX_DELETE_FRACTION
    stopped: str | None = None

    @property
    def name(self) -> str:
        return self.local.name

    @property
    def central_name(self) -> str:
        return self.central.name if self.central else self.name

    @property
    def cursor(self) -> str | None:
        return self.order[0] if self.order else None

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that tell one row of the site from another: its primary key, or what stands for it."""
        return self.local.primary_key or self.key

    @property
    def active_until(self) -> str | None:
        """The column that says since when a row is no longer active, if there is one."""
        return next((c.name for c in self.local.columns if c.name.casefold() == _ACTIVE_UNTIL), None)

    def central_columns(self, names: Iterable[str]) -> tuple[Column, ...]:
        """Central's columns under the site's names `names`, in that order."""
        assert self.central is not None
        return tuple(self.central.column(self.central_names[name]) for name in names)

    def to_central(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(self.central_names[name] for name in names)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`tables` in the order of work: a table stands behind every table it refers to."""

    tables: tuple[TablePlan, ...]

    def table(self, name: str) -> TablePlan:
        """KeyError if the site has no such table."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    @property
    def working(self) -> tuple[TablePlan, ...]:
        return tuple(table for table in self.tables if table.role is not Role.IGNORE and not table.stopped)

    @property
    def stopped(self) -> tuple[TablePlan, ...]:
        return tuple(table for table in self.tables if table.role is not Role.IGNORE and table.stopped)


def make_plan(local: Schema, central: Schema, settings: Mapping[str, TableSettings]) -> Plan:
    """Raises nothing: what cannot be pushed is in the plan, with the reason."""
    here = {table.name: table for table in local.tables}
    twins = pair(here, {table.name: table for table in central.tables})
    declared = {name: references(table, here, twins) for name, table in here.items()}
    referred = {each.parent for name, known in declared.items() for each in known if each.parent != name}
    plans = {}
    for name, table in here.items():
        own = settings.get(name) or TableSettings(name=name)
        plans[name] = _plan_table(table, twins.get(name), own, name in referred)
    ordered = _order({name: _link(plan, plans, declared[name]) for name, plan in plans.items()})
    return Plan(tables=tuple(_stop_children(ordered)))


def unknown_tables(local: Schema, settings: Mapping[str, TableSettings]) -> list[str]:
    """The tables and columns that the operator's settings name and the site does not have, as sentences."""
    faults = []
    for name, own in settings.items():
        table = next((table for table in local.tables if table.name == name), None)
        if table is None:
            faults.append(f"[table {name}]: the site's database has no such table")
            continue
        known = {column.name for column in table.columns} | {"origin"}
        named = ((own.cursor,) if own.cursor else ()) + (own.key or ()) + (own.agree or ())
        faults += [f"[table {name}]: the table has no column {column}" for column in named if column not in known]
    return faults


def _plan_table(local: Table, central: Table | None, own: TableSettings, referred: bool) -> TablePlan:
    role, role_reason = guess.role(local, referred)
    if own.role:
        role, role_reason = Role(own.role), "the configuration says so"
    plan = TablePlan(local=local, central=central, role=role, role_reason=role_reason, direction=own.direction or "up")
    if role is Role.IGNORE:
        return plan
    fraction = own.max_delete_fraction
    plan = replace(
        plan,
        captured=own.capture == "triggers",
        propagates_deletes=own.deletes == "propagate",
        max_delete_fraction=_MAX_DELETE_FRACTION if fraction is None else fraction,
    )
    if central is None:
        return replace(plan, stopped=f"central has no table {local.name}")
    try:
        plan = _plan_columns(plan, central)
        plan = _plan_key(plan, central, own)
        return _plan_cursor(plan, own) if role is Role.STREAM else plan
    except _CannotPushError as reason:
        return replace(plan, stopped=str(reason))


class _CannotPushError(Exception):
    pass


def _plan_columns(plan: TablePlan, central: Table) -> TablePlan:
    there = {column.name: column for column in central.columns}
    names = {name: column.name for name, column in pair_columns(plan.local, central).items()}
    only_central = tuple(name for name in there if name not in names.values())
    for name in only_central:
        column = there[name]
        if not (column.nullable or column.has_default or column.numbered or column.generated):
            raise _CannotPushError(f"central's column {name} must have a value, and the site has no such column")
    lost = [
        guess.narrowing(plan.local.column(here), there[other])
        for here, other in names.items()
        if not there[other].generated
    ]
    return replace(
        plan,
        central_names=names,
        only_here=tuple(column.name for column in plan.local.columns if column.name not in names),
        only_central=only_central,
        notes=tuple(f"lossy: {sentence}" for sentence in lost if sentence),
    )


def _plan_key(plan: TablePlan, central: Table, own: TableSettings) -> TablePlan:
    renamed = _rename(central, {other: name for name, other in plan.central_names.items()})
    writable = {name for name in plan.central_names if not renamed.column(name).generated}
    key, reason = guess.natural_key(plan.local, renamed)
    if own.key:
        key, reason = () if own.key == ("origin",) else own.key, "the configuration says so"
    if missing := [name for name in key if name not in writable]:
        raise _CannotPushError(f"its key needs column {', '.join(missing)}, which {_lacking(plan, missing[0])}")
    if not (plan.local.primary_key or key):
        raise _CannotPushError(
            "it has neither a primary key nor a unique constraint; name its key in the configuration"
        )
    numbered = set(plan.local.primary_key) & writable if set(key) != set(plan.local.primary_key) else set()
    numbered = {name for name in numbered if renamed.column(name).numbered and name in renamed.primary_key}
    if not key and not numbered:
        raise _CannotPushError(
            "its rows are known by their number alone, and central does not number them itself; "
            "name its key in the configuration"
        )
    sent = tuple(column.name for column in plan.local.columns if column.name in writable - numbered)
    if not sent:
        raise _CannotPushError("it has no column to send but the number of its rows")
    agree = own.agree
    if agree is None:
        shared_type = len(key) == 1 and key == plan.local.primary_key and not plan.local.references
        agree = ("name",) if shared_type and "name" in sent and plan.role is Role.ENTITY else ()
    if unsent := [name for name in agree if name not in sent]:
        raise _CannotPushError(f"{', '.join(unsent)} cannot agree on both sides: {_lacking(plan, unsent[0])}")
    notes = plan.notes
    if key and frozenset(key) not in set(map(frozenset, renamed.unique_keys())):
        notes += (f"central does not keep {', '.join(key)} unique, so rows are compared one by one",)
    return replace(plan, key=key, key_reason=reason, sent=sent, agree=agree, notes=notes)


def _lacking(plan: TablePlan, name: str) -> str:
    """Why column `name` is not among those that travel."""
    if name not in {column.name for column in plan.local.columns}:
        return "the site does not have"
    return "central computes itself" if name in plan.central_names else "central does not have"


def _rename(table: Table, names: Mapping[str, str]) -> Table:
    """Central's table under the site's column names, as far as the site has them."""

    def rename(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in columns)

    return Table(
        name=table.name,
        columns=tuple(_renamed_column(column, names.get(column.name, column.name)) for column in table.columns),
        primary_key=rename(table.primary_key),
        uniques=tuple(map(rename, table.uniques)),
        references=tuple(
            Reference(columns=rename(r.columns), parent=r.parent, parent_columns=r.parent_columns)
            for r in table.references
        ),
    )


def _renamed_column(column: Column, name: str) -> Column:
    return column if column.name == name else replace(column, name=name)


def _plan_cursor(plan: TablePlan, own: TableSettings) -> TablePlan:
    cursor = own.cursor or guess.cursor(plan.local)
    if cursor is None and len(plan.local.primary_key) == 1 and plan.local.column(plan.local.primary_key[0]).numbered:
        cursor = plan.local.primary_key[0]
    if cursor is None:
        raise _CannotPushError("no column tells when a row was written; name its cursor in the configuration")
    if cursor not in {column.name for column in plan.local.columns}:
        raise _CannotPushError(f"its cursor {cursor} is not a column of it")
    if plan.local.column(cursor).nullable and cursor not in plan.local.primary_key:
        raise _CannotPushError(
            f"its cursor {cursor} can be NULL, and such rows would never be sent; "
            "make it NOT NULL, or let role = entity"
        )
    if loose := [name for name in plan.key if not plan.local.primary_key and plan.local.column(name).nullable]:
        raise _CannotPushError(
            f"it has no primary key, and {', '.join(loose)} of its key can be NULL, so rows may look alike; "
            "make it NOT NULL, or let role = entity"
        )
    order = (cursor, *(name for name in plan.identity if name != cursor))
    notes = plan.notes
    if not any(index[0] == cursor for index in plan.local.indexes):
        notes += (f"no index begins with {cursor}, so each batch reads the whole table",)
    settle = _SETTLE_SECONDS if own.settle_seconds is None else own.settle_seconds
    lookback = _LOOKBACK_SECONDS if own.lookback_seconds is None else own.lookback_seconds
    return replace(plan, order=order, notes=notes, settle_seconds=settle, lookback_seconds=lookback)


def _link(plan: TablePlan, plans: Mapping[str, TablePlan], declared: Iterable[Reference]) -> TablePlan:
    """The foreign keys whose columns travel and whose parent is pushed; of the others a note."""
    if plan.central is None or plan.role is Role.IGNORE or plan.stopped:
        return plan
    links: dict[tuple[tuple[str, ...], str], Link] = {}
    notes = plan.notes
    for each in declared:
        if not set(each.columns) <= set(plan.sent):
            continue
        if why := _no_parent(plans.get(each.parent), each.parent_columns):
            notes += (f"{', '.join(each.columns)} refers to {each.parent}, {why}: its values are sent as they are",)
            continue
        link = Link(columns=each.columns, parent=each.parent, parent_columns=each.parent_columns)
        links.setdefault((link.columns, link.parent), link)
    return replace(plan, links=tuple(links.values()), notes=notes)


def _no_parent(parent: TablePlan | None, columns: tuple[str, ...]) -> str | None:
    """Why the values of these columns of a parent cannot be told in central's terms."""
    if parent is None:
        return "which the site does not have"
    if parent.central is None:
        return "which is not at central"
    if parent.role is Role.IGNORE:
        return "which is not pushed"
    known = {*parent.sent, *(name for name in parent.identity if name in parent.central_names)}
    if not parent.stopped and (unknown := set(columns) - known):
        return f"whose column {', '.join(sorted(unknown))} does not travel"
    return None


def _order(plans: dict[str, TablePlan]) -> list[TablePlan]:
    """Parents first; a circle is opened at a link that may be NULL for a while."""
    ordered: list[TablePlan] = []
    waiting = dict(sorted(plans.items()))
    while waiting:
        ready = [name for name, plan in waiting.items() if not _blocking(plan, waiting)]
        if not ready:
            circles = {name: circular for name in waiting if (circular := _circular(name, waiting))}
            opened = next((name for name in circles if _can_open(plans[name], circles[name])), None)
            if opened is None:
                reason = "it is part of a circle of foreign keys none of which may be NULL"
                ordered += [replace(waiting.pop(name), stopped=reason) for name in circles]
                continue
            known = waiting[opened].links
            links = tuple(replace(link, deferred=link.deferred or link in circles[opened]) for link in known)
            waiting[opened] = replace(waiting[opened], links=links)
        ordered += [waiting.pop(name) for name in ready]
    return ordered


def _blocking(plan: TablePlan, waiting: Mapping[str, TablePlan]) -> list[Link]:
    return [link for link in plan.links if link.parent in waiting and link.parent != plan.name and not link.deferred]


def _circular(name: str, waiting: Mapping[str, TablePlan]) -> list[Link]:
    """The links of a table whose parent, sooner or later, waits for that table."""
    return [link for link in _blocking(waiting[name], waiting) if name in _awaited(link.parent, waiting)]


def _can_open(plan: TablePlan, circular: list[Link]) -> bool:
    return all(may_be_null(plan, link) for link in circular)


def _awaited(name: str, waiting: Mapping[str, TablePlan]) -> set[str]:
    """The table itself and all that it waits for, directly or not."""
    found, beyond = {name}, [name]
    while beyond:
        parents = {link.parent for link in _blocking(waiting[beyond.pop()], waiting)} - found
        found |= parents
        beyond += parents
    return found


def may_be_null(plan: TablePlan, link: Link) -> bool:
    """Whether central takes a row before its parent in `link`, to be completed later."""
    return bool(openings(plan, link))


def openings(plan: TablePlan, link: Link) -> tuple[str, ...]:
    """The columns of `link` to leave NULL until the parent is at central, () if there are none.

    One NULL is enough for a database not to look for the parent; best in a column that no other link needs.
    """
    fixed = set(plan.key) | set(plan.local.primary_key)
    free = [name for name in link.columns if name not in fixed and plan.central_columns([name])[0].nullable]
    shared = {name for other in plan.links if other.columns != link.columns for name in other.columns}
    return tuple(name for name in free if name not in shared) or tuple(free)


def _stop_children(plans: list[TablePlan]) -> list[TablePlan]:
    while True:
        stopped = {plan.name for plan in plans if plan.stopped}
        parents = [next((link.parent for link in plan.links if link.parent in stopped), None) for plan in plans]
        if not any(parent and not plan.stopped for plan, parent in zip(plans, parents, strict=True)):
            return plans
        plans = [
            replace(plan, stopped=f"it refers to {parent}, which cannot be pushed")
            if parent and not plan.stopped
            else plan
            for plan, parent in zip(plans, parents, strict=True)
        ]
