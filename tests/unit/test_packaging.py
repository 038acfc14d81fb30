"""The package holds every folder of code that there is."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_setup_lists_every_package() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    packages = {
        path.parent.relative_to(ROOT) for top in ("models", "pusher") for path in (ROOT / top).rglob("__init__.py")
    }
    assert sorted(listed) == sorted(
        [".".join(package.parts) for package in packages] + ["pusher.migrations", "pusher.migrations.versions"]
    )


def test_migrations_do_not_hide_the_library() -> None:
    assert not list((ROOT / "alembic").rglob("__init__.py"))
