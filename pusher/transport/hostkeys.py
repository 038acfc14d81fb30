"""Which SSH host is known by which key: known_hosts as OpenSSH keeps it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pusher.errors import AccessRefused, ConfigError

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
SSH_PORT = 22


@dataclass(frozen=True)
class HostKey:
    """`kind` as known_hosts writes it, such as ssh-ed25519; `blob`: the public key in its binary form."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


@dataclass(frozen=True, kw_only=True)
class KnownKey:
    """A line of the file `path`; a key that is `revoked` must never be trusted again."""

    key: HostKey
    path: Path
    revoked: bool


class KnownHosts:
    """The file in `folder`, an operator's ~/.ssh, and the system's. Raises ConfigError if one cannot be read."""

    def __init__(self, folder: Path, system: Path = SYSTEM_KNOWN_HOSTS) -> None:
        self._own = folder / "known_hosts"
        self._files = (self._own, system)

    def kinds(self, host: str, port: int) -> tuple[str, ...]:
        """The kinds of key that a host is known by, so that it can be asked for one of them."""
        return tuple(dict.fromkeys(each.key.kind for each in self._found(host_name(host, port)) if not each.revoked))

    def verify(self, host: str, port: int, shown: HostKey, *, accept: bool) -> str:
        """Says how `shown` is known. A host that is not known at all is added if `accept`; one that is known by
        other keys never is, whatever the kind of the new one.

        Raises AccessRefused.
        """
        name = host_name(host, port)
        found = self._found(name)
        for each in found:
            if each.revoked and each.key == shown:
                raise AccessRefused(f"the host key of {name}, {shown}, is @revoked in {each.path}: do not go there")
        known = [each for each in found if not each.revoked]
        for each in known:
            if each.key == shown:
                return f"{name} shows {shown}, as {each.path} knows it"
        if known:
            raise _changed(name, shown, next((each for each in known if each.key.kind == shown.kind), known[0]))
        if not accept:
            raise AccessRefused(
                f"the host key of {name} is not known: {shown}; compare it with what the host's administrator tells "
                "you, then add it with: pusher check --accept-host-key"
            )
        self._add(name, shown)
        return f"{name} shows {shown}, which is now in {self._own}"

    def _found(self, name: str) -> list[KnownKey]:
        return [known for path in self._files for known in _read(path, name)]

    def _add(self, name: str, key: HostKey) -> None:
        line = f"{name} {key.kind} {base64.b64encode(key.blob).decode()}\n"
        try:
            self._own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Readable by all, for the daemon may run as somebody else, and there is no secret in it.
            handle = os.open(self._own, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with open(handle, "a+b") as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else "\n" + line
                file.write(line.encode())
        except OSError as error:
            raise ConfigError([f"cannot write {self._own}: {error.strerror}"]) from error


def host_name(host: str, port: int) -> str:
    """A host as known_hosts names it."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def _changed(name: str, shown: HostKey, known: KnownKey) -> AccessRefused:
    mend = f"ssh-keygen -R {shlex.quote(name)} -f {shlex.quote(str(known.path))}"
    return AccessRefused(
        f"the host key of {name} has changed: it shows {shown}, where {known.path} has {known.key}; somebody may be "
        f"in between; if its administrator confirms the new one: {mend} and then pusher check --accept-host-key"
    )


def _read(path: Path, name: str) -> Iterator[KnownKey]:
    """The lines of a file that speak of `name`; what is no such line is passed over, as ssh does."""
    try:
        text = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    for line in text.splitlines():
        marker, _, rest = line.strip().partition(" ") if line.lstrip().startswith("@") else ("", "", line)
        fields = rest.split()
        if marker not in ("", "@revoked") or len(fields) < 3 or fields[0].startswith("#"):
            continue  # among them @cert-authority: certificates of hosts are not looked at
        if _speaks_of(fields[0], name):
            try:
                key = HostKey(fields[1], base64.b64decode(fields[2], validate=True))
            except binascii.Error:
                continue
            yield KnownKey(key=key, path=path, revoked=bool(marker))


def _speaks_of(patterns: str, name: str) -> bool:
    each = patterns.split(",")
    excluded = any(_matches(pattern[1:], name) for pattern in each if pattern.startswith("!"))
    return not excluded and any(_matches(pattern, name) for pattern in each if not pattern.startswith("!"))


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in pattern[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
    wild = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, name) is not None
