"""The files that have a host start pusher: a systemd unit, or a line for cron where there is no systemd."""

from __future__ import annotations

import math
import os
import pwd
import re
import shlex
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from pusher.config import Settings
from pusher.errors import UsageError

UNIT_FILE = Path("/etc/systemd/system/pusher.service")
CRON_FILE = Path("/etc/cron.d/pusher")
ENVIRONMENT_FILE = Path("/etc/default/pusher")

_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")
_UNIT = """\
[Unit]
Description=pusher: pushes this site's database to central
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
KillSignal=SIGTERM
TimeoutStopSec=15
Restart=on-failure
RestartSec=30
WatchdogSec=120
# What env:NAME in the configuration refers to, as NAME=value, for root alone to read.
EnvironmentFile=-{environment}

User={user}
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
# Keys for SSH may be in a home.
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
# The state, the configuration with its lastupdate, and the site's database if it is a file.
{writable}

[Install]
WantedBy=multi-user.target
"""
_CRON = """\
# A run that finds the one before still at work ends at once and harms nothing; one that hangs is ended, and the next
# goes on from there. All that pusher says goes to syslog, so cron has nothing to mail.
{times} {user} timeout -k 60 12h {command} 2>&1 | logger -t pusher
"""


def installed_command() -> Path:
    """The absolute path of this `pusher`. Raises UsageError if it is not installed as a command."""
    called = Path(os.path.abspath(sys.argv[0]))
    candidates = [called] if called.name == "pusher" else []
    candidates.append(Path(sys.executable).with_name("pusher"))
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise UsageError(f"no command pusher beside {sys.executable}; install pusher there, for example with pip")


def writable_folders(settings: Settings) -> list[Path]:
    """Where the daemon writes: the state, the configuration, which is replaced in its folder, a database of SQLite,
    folders of this machine that files go to, data pools, storages with what they are imported into, and the log
    files."""
    folders = [settings.general.state, Path(os.path.realpath(settings.path)).parent]
    folders += _folder_of(settings.general.localurl.reveal())
    sent = [location.files.to for location in settings.locations if location.files]
    folders += [Path(os.path.realpath(to.path)) for to in sent if to.kind == "folder"]
    folders += [location.export.pool for location in settings.locations if location.export]
    for each in (location.imports for location in settings.locations if location.imports):
        folders += [each.storage, *(_folder_of(each.target.reveal()) if each.target else [])]
    folders += [settings.logging.folder] if settings.logging else []
    return list(dict.fromkeys(Path(os.path.normpath(folder)) for folder in folders))


def _folder_of(text: str) -> list[Path]:
    """That of a database which is a file."""
    url = make_url(text)
    is_file = url.get_backend_name() == "sqlite" and url.database and url.database.startswith("/")
    return [Path(os.path.realpath(url.database or "")).parent] if is_file else []


def unit(settings: Settings, command: Path, user: str) -> str:
    """The systemd unit. Raises UsageError if a path or the account cannot stand in one."""
    words = [_unit_word(str(command)), "--config", _unit_word(str(settings.path)).replace("$", "$$"), "run"]
    return _UNIT.format(
        command=" ".join(words),
        environment=ENVIRONMENT_FILE,
        user=_account(user),
        # With "-", a state folder that is not there yet is for pusher to complain about.
        writable="\n".join(f"ReadWritePaths={_unit_word(f'-{folder}')}" for folder in writable_folders(settings)),
    )


def cron_line(settings: Settings, command: Path, user: str) -> str:
    """A file for /etc/cron.d. Raises UsageError if a path or the account cannot stand in one."""
    words = [_plain(str(command)), "--config", _plain(str(settings.path)), "run", "--once"]
    return _CRON.format(
        times=_cron_times(settings.general.synctime_minutes),
        user=_account(user),
        command=shlex.join(words).replace("%", r"\%"),  # a bare % ends the command
    )


def _cron_times(minutes: float) -> str:
    """Every so many minutes, rounded up to what cron can say: whole minutes, whole hours, or once a day."""
    whole = math.ceil(minutes)
    if whole < 60:
        return f"*/{whole} * * * *"
    hours = math.ceil(whole / 60)
    return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"


def _unit_word(text: str) -> str:
    word = _plain(text).replace("%", "%%")
    return word if re.fullmatch(r"[A-Za-z0-9_./%-]+", word) else f'"{word}"'


def _plain(text: str) -> str:
    if not text.isprintable() or "\\" in text or '"' in text:
        raise UsageError(f"{text!r} holds a letter that such a file cannot; rename it")
    return text


def _account(name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        raise UsageError(f'"{name}" is not the name of an account; use letters, digits, _ and -')
    return name


def next_steps(settings: Settings, user: str, file: Path, *, cron: bool) -> list[str]:
    """What is left to do once `file` is written, as lines to show."""
    steps = []
    try:
        pwd.getpwnam(user)
    except KeyError:
        steps.append(f"useradd --system --shell /usr/sbin/nologin {user}")
    if not settings.general.state.exists():
        steps.append(f"install -d -o {user} -m 700 {shlex.quote(str(settings.general.state))}")
    folders = " and ".join(str(folder) for folder in writable_folders(settings))
    steps.append(f"let {user} read {settings.path}, and write in {folders}")
    usual = CRON_FILE if cron else UNIT_FILE
    if file.absolute().parent != usual.parent:
        steps.append(f"cp {shlex.quote(str(file))} {usual}")
        file = usual
    if not cron:
        steps += ["systemctl daemon-reload", f"systemctl enable --now {shlex.quote(file.stem)}"]
    return steps


def write(file: Path, text: str, *, force: bool = False) -> bool:
    """Puts `text` there, whole or not at all; False if it is there already.

    Raises UsageError if something else is there and not `force`, or if it cannot be written.
    """
    try:
        if os.path.lexists(file):
            if file.is_file() and file.read_bytes() == text.encode():
                return False
            if not force:
                raise UsageError(f"{file} is there and says something else; look at it, then use --force to replace it")
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with open(handle, "w", encoding="utf-8") as target:
                target.write(text)
                os.fchmod(handle, 0o644)
            os.replace(temporary, file)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}; run it as root, or name a file with --output"
        ) from error
    return True
