#!/usr/bin/env python3
"""Fills a database with fake readings: many at once, or one step at a time until it is stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import Base
from pusher.datagen import Datagen
from pusher.errors import PusherError, UsageError
from pusher.schema.engine import open_engine, reaching


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        engine = open_engine(options.url, create=options.create)
        try:
            return _generate(engine, options)
        finally:
            engine.dispose()
    except PusherError as error:
        print(f"datagen: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def _generate(engine: Engine, options: argparse.Namespace) -> int:
    with reaching("the database"):
        there = sa.inspect(engine).get_table_names()
    if options.create:
        Base.metadata.create_all(engine)
    elif missing := Base.metadata.tables.keys() - set(there):
        raise UsageError(f"no table {', '.join(sorted(missing))}; --create makes the tables")
    datagen = Datagen(
        deployment=options.deployment,
        address=options.address,
        rooms=options.rooms,
        nodes=options.nodes,
        seed=options.seed,
        start=options.start,
        gap_seconds=options.gap,
        state_switch=options.state_switch,
    )
    if options.bulk:
        added = datagen.bulk(engine, options.bulk, end=options.end)
        print(f"{added} readings added")
    else:
        for moment in islice(datagen.live(engine), options.steps):
            print(f"{moment} {len(options.nodes)} readings added", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Run again, it continues after the newest reading. Times are UTC."
    )
    add = parser.add_argument
    add("url", nargs="?", default=Datagen.LOCAL_URL, metavar="URL", help="database (default %(default)s)")
    add("--create", action="store_true", help="make the tables that are missing, and the SQLite file")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--bulk", type=_positive(int), metavar="N", help="add N readings at once, ending at --end")
    how.add_argument("--live", action="store_true", help="add one step each --gap seconds until Ctrl-C (the default)")
    add("--steps", type=_positive(int), metavar="N", help="with --live: stop after N steps")
    add("--start", type=_moment, metavar="TIME", help="time of the first reading")
    add("--end", type=_moment, metavar="TIME", help="with --bulk: time of the last reading (default ten seconds ago)")
    add("--gap", type=_positive(float), default=Datagen.READING_GAP, metavar="SECONDS", help="default %(default)s")
    add(
        "--state-switch",
        type=_positive(int),
        default=Datagen.STATE_SWITCH,
        metavar="N",
        help="steps before nodes report their state and start counting afresh (default %(default)s)",
    )
    add("--seed", type=int, metavar="S", help="add noise to the values: the same for the same S")
    add("--deployment", default=Datagen.deployment, metavar="NAME", help="default %(default)s")
    add("--address", default=Datagen.address, metavar="ADDRESS", help="of the house (default %(default)s)")
    add("--rooms", type=_names, default=Datagen.rooms, metavar="A,B", help="where the nodes are, in turn")
    add("--nodes", type=_numbers, default=Datagen.nodes, metavar="N,N", help="default 37,38")
    return parser


def _positive(number: type[int] | type[float]) -> Callable[[str], float]:
    def positive(text: str) -> float:
        value = number(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return positive


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a time such as 2026-01-31T12:00:00") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError("a name is empty")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a list of numbers such as 37,38") from None
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError("a node is named twice")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
