"""The commands `pusher key`: private keys for sealed fields made, shown and tried."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pusher.cli.context import Context, Group, as_json, print_json, print_table, say

if TYPE_CHECKING:
    from pusher.export.sealing import Opener


@click.group(cls=Group)
def key() -> None:
    """The private key that opens sealed fields of a location with kind = export: make one, show it, try it."""


@key.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@as_json
def new(file: Path, json: bool) -> None:
    """Make a key pair: the private key goes into FILE, the public one is printed, for the web server to seal with.

    Never overwrites a file.
    """
    from pusher.export.keys import write_key
    from pusher.export.sealing import new_box_key

    text, opener = new_box_key()
    write_key(file, text)
    if json:
        print_json({"file": str(file), **_plain(opener)})
        return
    say(opener.public)
    say(
        f"wrote the private key to {file}; set key = file:{file}, and keep a copy elsewhere: nothing else opens answers"
    )


@key.command()
@click.argument("name", metavar="FILE|LOCATION")
@as_json
@click.pass_obj
def show(context: Context, name: str, json: bool) -> None:
    """Show the kind and the fingerprint of a private key, and the public key that goes with it.

    FILE goes first, where there is one of that name.
    """
    from pusher.config import load
    from pusher.export.keys import opener_in, opener_of

    path = Path(name)
    opener = opener_in(path) if path.is_file() else opener_of(load(context.config_path()).location(name))
    if json:
        print_json(_plain(opener))
        return
    say(f"kind         {opener.kind}")
    say(f"fingerprint  {opener.fingerprint}")
    say(opener.public)


@key.command()
@click.argument("location")
@as_json
@click.pass_obj
def test(context: Context, location: str, json: bool) -> None:
    """Try the location's key on the newest sealed fields of each scale that is archived. Shows none of what is in them.

    Ends with 1 where one did not open.
    """
    from pusher.config import load
    from pusher.export.keys import opener_of, try_key

    place = load(context.config_path()).location(location)
    opener, trials = opener_of(place), list(try_key(place))
    if json:
        print_json({"fingerprint": opener.fingerprint, "scales": trials})
    else:
        rows = [(each.scale, each.day, each.opened, each.sealed, each.reason or "") for each in trials]
        if rows:
            print_table("", ("scale", "day", "opened", "not opened", "why not"), rows)
        opened, sealed = sum(each.opened for each in trials), sum(each.sealed for each in trials)
        found = f"{opened:,} opened, {sealed:,} did not" if trials else "no sealed field is archived yet"
        say(f"key {opener.fingerprint}: {found}")
    sys.exit(int(any(each.sealed for each in trials)))


def _plain(opener: Opener) -> dict[str, str]:
    return {"kind": opener.kind, "fingerprint": opener.fingerprint, "public": opener.public}
