"""The kinds of trouble that a world goes through. Each lets one thing break, tries a cycle, and mends it."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections import Counter
from collections.abc import Callable

from pusher.inifile import with_value
from pusher.schema.engine import opened
from tests.fault.orders import AGENT, CENTRAL, Orders
from tests.fault.processes import Agent
from tests.fault.sides import MariaSide
from tests.fault.world import World

_SCHEMA_SECONDS = 0.6  # so long central may keep what it knows of its tables
_CYCLES_ON_A_BAD_LINK = 8
_FULL_BYTES = 400_000

Trouble = Callable[[World], None]


def bad_link(world: World) -> None:
    world.proxy.rate = world.rng.choice((0.2, 0.5, 0.9))
    before = Counter(world.proxy.suffered)
    for _ in range(_CYCLES_ON_A_BAD_LINK):  # each has but a connection or two
        world.cycle()
        world.collect()
    world.proxy.rate = 0.0
    world.injected.update({f"link: {kind}": n for kind, n in (world.proxy.suffered - before).items()})
    world.proxy.deliver_late()


def agent_dies(world: World) -> None:
    point = world.rng.choice(list(AGENT))
    if world.agent(Orders(deed="die", point=point, count=world.rng.randrange(1, 3))).was_killed():
        world.injected[point] += 1


def central_dies(world: World) -> None:
    point = world.rng.choice(list(CENTRAL))
    world.service.order(Orders(deed="die", point=point, count=world.rng.randrange(1, 3)))
    world.cycle()
    if world.service.was_killed():
        world.injected[point] += 1
    world.restart_central()


def central_dies_any_time(world: World) -> None:
    agent = world.agent()
    time.sleep(world.rng.uniform(0.1, 1.5))
    world.service.kill()
    agent.wait()
    world.injected["central killed at any time"] += 1
    world.service.start()


def state_is_lost(world: World) -> None:
    shutil.rmtree(world.config.parent / "state", ignore_errors=True)
    world.injected["state folder lost"] += 1
    world.cycle()


def central_is_restored(world: World) -> None:
    """From a backup that is older than what was pushed since."""
    world.central.back_up()
    for _ in range(world.rng.randrange(1, 4)):
        world.cycle()
        world.collect()
    world.service.kill()
    world.central.restore()
    world.repeat_alterations()
    world.service.start()
    world.injected["central restored from backup"] += 1
    world.cycle()


def operator_sets_back(world: World) -> None:
    value = world.rng.choice(("None", "2020-01-01", "2020-01-01 00:00:00"))
    world.config.write_text(with_value(world.config.read_text(), "central", "lastupdate", value))
    world.injected["lastupdate set back"] += 1
    world.cycle()


def operator_edits(world: World) -> None:
    """Comments and another key, written while the agent runs."""
    agent = world.agent(Orders(deed="slow", point="agent has read config to change it"))
    while agent.is_running():
        text = world.config.read_text()
        edit = f"; edit {len(world.edits) + 1}"
        limit = str(world.rng.randrange(50, 150))
        edited = with_value(text, "general", "pushlimit", limit).replace("\n[locations]", f"{edit}\n\n[locations]", 1)
        if world.rng.random() < 0.5:
            world.config.write_text(edited)
        else:
            new = world.config.with_suffix(".new")
            new.write_text(edited)
            new.chmod(0o600)
            new.replace(world.config)
        world.edits.append(edit)
        world.injected["configuration edited"] += 1
        time.sleep(world.rng.uniform(0.02, 0.2))
    agent.wait()


def two_agents(world: World) -> None:
    first, second = world.agent(), world.agent()
    if 4 in {first.wait(), second.wait()}:
        world.injected["two agents at once"] += 1


def disk_of_agent(world: World) -> None:
    """Full, or read-only, from some step on."""
    folder = world.config.parent
    point = world.rng.choice(["start", "agent begins", *AGENT])
    full = Orders(deed="full", point=point, file_bytes=world.rng.randrange(_FULL_BYTES))
    state = Orders(deed="read-only", point="start", folder=str(folder / "state"))
    config = Orders(deed="read-only", point=point, folder=str(folder))
    orders = world.rng.choice((full, state, config))
    if world.agent(orders).wait() != 0:
        what = "disk full" if orders is full else "state read-only" if orders is state else "folder read-only"
        world.injected[f"agent: {what}"] += 1


def disk_of_central_is_full(world: World) -> None:
    agent = _agent_begun(world)
    world.central.fill(world.rng)
    _survive(world, agent, "central: disk full")


def central_is_read_only(world: World) -> None:
    agent = _agent_begun(world)
    world.central.make_read_only(world.rng)
    _survive(world, agent, "central: read-only")


def _agent_begun(world: World) -> Agent | None:
    """An agent somewhere on its way, or none yet."""
    if world.rng.random() < 0.5:
        return None
    agent = world.agent()
    time.sleep(world.rng.uniform(0.1, 1.5))
    return agent


def _survive(world: World, agent: Agent | None, fault: str) -> None:
    """Counts only what made a cycle fail."""
    codes = [agent.wait()] if agent else []
    codes.append(world.cycle())
    if any(codes):
        world.injected[fault] += 1
    world.central.heal()


def database_restarts(world: World) -> None:
    assert isinstance(world.central, MariaSide)
    agent = world.agent()
    for _ in range(world.rng.randrange(1, 3)):
        time.sleep(world.rng.uniform(0.1, 1.0))
        world.central.restart()
        world.injected["database killed and restarted"] += 1
    agent.wait()


def clock_of_agent_is_wrong(world: World) -> None:
    """Only that of the agent: the rows carry the right times."""
    offset = world.rng.choice(("+1d", "-1d", "+10y", "-10y", "+6h", "-6h"))
    world.agent(clock=offset).wait()
    world.injected[f"agent's clock wrong: {offset}"] += 1
    if world.rng.random() < 0.5:
        world.cycle()


def tables_are_altered(world: World) -> None:
    column = f"extra{sum(world.injected.values())}"
    table = world.rng.choice(("Reading", "Note", "House", "Room"))
    where = world.rng.choice(("site", "central", "both", "index"))
    if where == "both":
        world.add_to_both(table, column)
    elif where == "index":
        for side in (world.site, world.central):
            with opened(side.url) as engine, engine.begin() as connection:
                name = engine.dialect.identifier_preparer.quote("Reading")
                connection.exec_driver_sql(f"create index ix_{column} on {name} (value)")
    else:
        world.alter(world.site if where == "site" else world.central, table, column)
    world.injected[f"tables altered: {where}"] += 1
    time.sleep(_SCHEMA_SECONDS)
    world.collect()
    world.cycle()


def rows_are_late(world: World) -> None:
    world.cycle()
    world.collecting.late(world.rng.randrange(1, 40))
    world.injected["rows late"] += 1


def rows_are_tied(world: World) -> None:
    world.cycle()
    world.collecting.tied(world.rng.randrange(1, 10))
    world.injected["rows tied"] += 1


def rows_are_updated(world: World) -> None:
    world.cycle()
    world.collecting.update(world.rng.randrange(1, 20))
    world.injected["rows updated"] += 1


def clock_of_site_is_wrong(world: World) -> None:
    """The rows of a while carry wrong times, then come right ones."""
    days, offset = world.rng.choice(((1, "1d"), (3650, "10y"), (0.25, "6h")))
    sign = world.rng.choice((1, -1))
    world.collecting.with_the_clock_wrong(sign * dt.timedelta(days=days), world.rng.randrange(5, 60))
    world.agent(clock=f"{'+' if sign > 0 else '-'}{offset}").wait()
    world.collecting.on_time(world.rng.randrange(5, 60))
    world.injected[f"site's clock wrong: {'+' if sign > 0 else '-'}{offset}"] += 1
    world.cycle()


ALWAYS: tuple[Trouble, ...] = (
    bad_link,
    agent_dies,
    central_dies,
    central_dies_any_time,
    state_is_lost,
    central_is_restored,
    operator_sets_back,
    operator_edits,
    two_agents,
    disk_of_agent,
    disk_of_central_is_full,
    central_is_read_only,
    clock_of_agent_is_wrong,
    tables_are_altered,
)
# What the rows themselves bring along: late, tied, updated, from another time.
OF_ROWS: tuple[Trouble, ...] = (rows_are_late, rows_are_tied, rows_are_updated, clock_of_site_is_wrong)
OF_ROWS_ON = True


# Those that need central's database.
OF_CENTRAL: tuple[Trouble, ...] = (
    central_dies,
    central_dies_any_time,
    central_is_restored,
    disk_of_central_is_full,
    central_is_read_only,
    tables_are_altered,
)


def kinds(world: World) -> list[Trouble]:
    """All that can befall this world."""
    return [*ALWAYS, *of_mariadb(world), *(OF_ROWS if OF_ROWS_ON else ())]


def of_mariadb(world: World) -> list[Trouble]:
    return [database_restarts] if isinstance(world.central, MariaSide) else []


def strike(world: World, trouble: Trouble, attempts: int = 1) -> bool:
    """Something happens at the site, then the trouble; again if it did no harm, at most so many times."""
    before = sum(world.injected.values())
    for _ in range(attempts):
        world.collect()
        trouble(world)
        if sum(world.injected.values()) > before:
            return True
    return False
