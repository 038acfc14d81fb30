"""`lastupdate` in the configuration: pusher keeps it up to date, and does what the operator sets it to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import Base, Reading
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.datagen import Datagen
from pusher.job import Outcome
from pusher.schema.engine import opened
from tests.conftest import NewDatabase
from tests.stage import contents, push_all, pusher, serving, write_config

_START = datetime(2026, 1, 1)
_READINGS = 1000


@dataclass(frozen=True)
class Scene:
    """A site and a central, both on SQLite."""

    site: sa.Engine
    central: str
    config: Path

    def collect(self, readings: int) -> None:
        Datagen(seed=1, start=_START).bulk(self.site, readings)

    def push(self) -> Outcome:
        return push_all(self.config)

    def newest(self) -> datetime:
        with self.site.connect() as connection:
            return connection.execute(sa.select(sa.func.max(Reading.time))).scalar_one()

    def lastupdate(self) -> str:
        found = re.search(r"^lastupdate = (.*?) +; written by pusher$", self.config.read_text(), re.MULTILINE)
        assert found, self.config.read_text()
        return found[1]

    def set_lastupdate(self, text: str) -> None:
        self.config.write_text(self.config.read_text().replace(self.lastupdate(), text))

    def here(self) -> dict[str, Counter[object]]:
        return contents(self.site.url.render_as_string(hide_password=False))

    def there(self) -> dict[str, Counter[object]]:
        return contents(self.central)


@pytest.fixture
def scene(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    site, central = new_database("sqlite"), new_database("sqlite")
    with opened(site) as here, opened(central) as there:
        Base.metadata.create_all(here)
        upgrade(there)
        with serving(central) as resturl:
            config = write_config(tmp_path, "north", site, resturl, new_token(there, "north", "push"), pushlimit=300)
            found = Scene(here, central, config)
            found.collect(_READINGS)
            yield found


def sent(outcome: Outcome, table: str) -> int:
    return sum(entry.sent for entry in outcome.tables if entry.table == table)


def test_it_shows_the_last_sent_time_and_keeps_every_other_byte(scene: Scene) -> None:
    before = scene.config.read_bytes()
    assert scene.lastupdate() == "None"
    scene.push()
    assert scene.lastupdate() == str(scene.newest())
    assert scene.config.read_bytes() == before.replace(b"lastupdate = None", f"lastupdate = {scene.newest()}".encode())
    scene.collect(100)
    scene.push()
    assert scene.lastupdate() == str(scene.newest())
    assert scene.here() == scene.there()


def test_with_nothing_new_no_row_is_sent(scene: Scene) -> None:
    first = scene.push()
    assert sent(first, "Reading") == _READINGS
    before = scene.config.read_bytes(), scene.there()
    again = scene.push()
    assert again.sent == 0
    assert 0 < again.bytes_sent < first.bytes_sent / 4
    done = pusher("--config", scene.config, "run", "--once")
    assert done.returncode == 0 and " 0 rows sent" in done.stdout
    assert (scene.config.read_bytes(), scene.there()) == before


def test_an_earlier_date_sends_again_from_there(scene: Scene) -> None:
    scene.push()
    before, newest = scene.there(), scene.newest()
    earlier = newest - timedelta(seconds=100)
    scene.set_lastupdate(str(earlier))
    with scene.site.connect() as connection:
        expected = connection.scalar(sa.select(sa.func.count()).where(Reading.time >= earlier))
    outcome = scene.push()
    assert sent(outcome, "Reading") == expected == 102
    assert scene.there() == before == scene.here()
    assert scene.lastupdate() == str(newest)
    assert scene.push().sent == 0


def test_a_bare_date_means_its_first_moment(scene: Scene) -> None:
    scene.push()
    before = scene.there()
    scene.set_lastupdate("2026-01-01")
    assert sent(scene.push(), "Reading") == _READINGS
    assert scene.there() == before


@pytest.mark.parametrize("text", ["None", ""])
def test_none_sends_everything_again(scene: Scene, text: str) -> None:
    first = scene.push()
    before = scene.there()
    scene.set_lastupdate(text)
    outcome = scene.push()
    assert outcome.sent == first.sent
    assert any("everything is sent again" in note for note in outcome.notes)
    assert scene.there() == before == scene.here()
    assert str(scene.newest()) in scene.config.read_text()


def test_a_line_that_was_removed_sends_everything_again_and_comes_back(scene: Scene) -> None:
    first = scene.push()
    before = scene.there()
    lines = scene.config.read_text().splitlines(keepends=True)
    scene.config.write_text("".join(line for line in lines if not line.startswith("lastupdate")))
    assert scene.push().sent == first.sent
    assert scene.there() == before
    assert f"lastupdate = {scene.newest()}\n" in scene.config.read_text()
    assert scene.push().sent == 0


def test_a_later_date_skips_and_says_so(scene: Scene) -> None:
    scene.push()
    before = scene.there()
    scene.collect(400)
    later = scene.newest() - timedelta(seconds=98)
    scene.set_lastupdate(str(later))
    outcome = scene.push()
    assert any("Reading" in note and "skipped" in note for note in outcome.notes)
    assert sent(outcome, "Reading") == 100
    assert scene.there()["Reading"].total() == before["Reading"].total() + 100
    assert scene.lastupdate() == str(scene.newest())
    scene.set_lastupdate("None")
    scene.push()
    assert scene.there() == scene.here()


def test_what_is_no_date_is_refused(scene: Scene) -> None:
    scene.push()
    before = scene.there()
    scene.set_lastupdate("yesterday")
    done = pusher("--config", scene.config, "run", "--once")
    assert done.returncode == 2
    assert "lastupdate" in done.stderr and "2026-01-31" in done.stderr
    assert scene.there() == before
