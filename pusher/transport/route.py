"""Which SSH hosts lie on the way to central, and who signs in there with what, by a location and ~/.ssh/config."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pusher.config import Location, Secret
from pusher.errors import ConfigError
from pusher.transport.hostkeys import SSH_PORT

# What ~/.ssh/config says of an alias, the names of its settings in small letters.
Lookup = Callable[[str], Mapping[str, Any]]

_USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_JUMP = re.compile(r"(ssh://)?((?P<user>[^@]+)@)?(\[(?P<address>[^]]+)]|(?P<name>[^:@/]+))(:(?P<port>\d+))?/?")


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One SSH host. `keys`: private key files in the order they are tried; `only_keys`: no other key is, and each
    must be there. `passphrase` opens the files, `password` is shown to the host."""

    host: str
    port: int
    user: str
    keys: tuple[Path, ...]
    only_keys: bool
    passphrase: Secret | None
    password: Secret | None

    def __str__(self) -> str:
        return f"SSH host {self.host}" + ("" if self.port == SSH_PORT else f" port {self.port}")


def route(location: Location, lookup: Lookup) -> tuple[Hop, ...]:
    """The hosts to sign in at, one behind the other, the last of them the location's own.

    Raises ConfigError.
    """
    alias = location.url or ""
    entry = lookup(alias)
    last = _hop(alias, entry, location, user=location.sshuser, port=location.sshport, last=True)
    return *_jumps(alias, entry, location, lookup, (alias,)), last


def _jumps(
    alias: str, entry: Mapping[str, Any], location: Location, lookup: Lookup, above: tuple[str, ...]
) -> tuple[Hop, ...]:
    """As `ssh` does: a jump host may have jump hosts itself, but only the first of several is asked for them."""
    if entry.get("proxycommand"):
        raise ConfigError([f"{_config(location)}: {alias} has a ProxyCommand, and pusher runs none; use ProxyJump"])
    jumps = str(entry.get("proxyjump") or "none")
    if jumps.lower() == "none":
        return ()
    hops: tuple[Hop, ...] = ()
    for number, text in enumerate(jumps.split(",")):
        form = _JUMP.fullmatch(text.strip())
        if not form:
            raise ConfigError([f'{_config(location)}: ProxyJump "{text}" of {alias} is not [user@]host[:port]'])
        name = form["address"] or form["name"]
        if name in above:
            raise ConfigError([f"{_config(location)}: the ProxyJump of {alias} leads back to {name}"])
        its = lookup(name)
        if number == 0:
            hops = _jumps(name, its, location, lookup, (*above, name))
        port = int(form["port"]) if form["port"] else None
        hops += (_hop(name, its, location, user=form["user"], port=port, last=False),)
    return hops


def _hop(
    alias: str, entry: Mapping[str, Any], location: Location, *, user: str | None, port: int | None, last: bool
) -> Hop:
    """`user`, `port`: what is said of them elsewhere, and goes before what ~/.ssh/config says."""
    named = (location.private_key,) if location.private_key else ()
    configured = tuple(Path(os.path.expanduser(path)) for path in entry.get("identityfile", ()))
    usual = tuple(location.sshfolder / name for name in _USUAL_KEYS)
    only_keys = last and bool(named)
    try:
        return Hop(
            host=entry.get("hostname", alias),
            port=port or int(entry.get("port", SSH_PORT)),
            user=user or entry.get("user") or getpass.getuser(),
            keys=named if only_keys else configured or named or usual,
            only_keys=only_keys,
            passphrase=location.sshpassword,
            password=location.sshpassword if last else None,  # it is for the location's own host alone
        )
    except ValueError:
        raise ConfigError([f"{_config(location)}: the Port of {alias} is not a number"]) from None
    except (KeyError, OSError):
        raise ConfigError([f"[{location.name}] sshuser is missing, and the system has no name for us"]) from None


def _config(location: Location) -> Path:
    return location.sshfolder / "config"
