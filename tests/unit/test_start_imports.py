"""What a process imports before it works: a command that needs no database waits for none."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HELP = (
    "import sys; sys.argv = ['pusher', '--help']; import pusher.cli.main as m\ntry: m.app()\nexcept SystemExit: pass"
)
_DRIVERS = {"pymysql", "psycopg", "sqlalchemy.dialects.mysql", "sqlalchemy.dialects.postgresql"}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (_HELP, {"sqlalchemy", "paramiko", "urllib3", "requests", "msgspec", "zstandard", "asyncio", "rich"}),
        ("import pusher.config", {"sqlalchemy", "msgspec"}),
        (
            "import pusher.cli.site, pusher.views",
            {"urllib3", "rich", "paramiko", "models", "sqlalchemy.orm"} | _DRIVERS,
        ),
        (
            "import pusher.daemon, pusher.views, pusher.checks",
            {"paramiko", "cryptography", "alembic", "rich", "requests", "sqlalchemy.orm", "models"} | _DRIVERS,
        ),
        (
            "import pusher.transport.sql",
            {"paramiko", "cryptography", "alembic", "rich", "sqlalchemy.orm"}
            | _DRIVERS - {"sqlalchemy.dialects.mysql"},
        ),
        (
            "import pusher.rest.server",
            {
                "paramiko",
                "cryptography",
                "alembic",
                "rich",
                "pymysql",
                "psycopg",
                "requests",
                "sqlalchemy.orm",
                "jinja2",
            },
        ),
    ],
)
def test_no_more_than_needed(code: str, absent: set[str]) -> None:
    script = f"{code}\nimport sys; print('loaded:', *sorted({absent!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
