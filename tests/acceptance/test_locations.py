"""`pusher run` with several locations: each goes its own way, and what is wrong with one is no other's trouble."""

from __future__ import annotations

import functools
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import NewDatabase
from tests.daemons import Scene, refusing, scene_of
from tests.stage import wait_until

_SHORT = 0.003  # minutes


@pytest.fixture
def scene(new_database: NewDatabase, tmp_path: Path) -> Iterator[Scene]:
    with scene_of(new_database, tmp_path) as found:
        yield found


def test_one_that_hangs_holds_up_no_other_and_is_not_begun_twice(scene: Scene) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        scene.add_location("lab", f"http://127.0.0.1:{silent.getsockname()[1]}/rest/")
        with scene.daemon(_SHORT) as daemon:
            connection, _ = silent.accept()
            with closing(connection):
                assert connection.recv(10)  # the hello, which is never answered
                for readings in (20, 40, 60):
                    wait_until(functools.partial(scene.has, readings))
                    scene.collect(20)
                daemon.send_signal(signal.SIGHUP)
                wait_until(lambda: len(scene.events("cycle_ended", "central")) >= 5)
                silent.setblocking(False)
                with pytest.raises(BlockingIOError):
                    silent.accept()
                assert not scene.events("cycle_ended", "lab")
                daemon.kill()


def test_waits_grow_and_central_may_ask_for_longer_ones(scene: Scene) -> None:
    synctime = 0.0005
    with refusing(503, "1") as away:
        scene.add_location("lab", away.resturl)
        scene.change("central = 1", "central = 0")
        with scene.daemon(synctime):
            wait_until(lambda: len(away.asked) >= 2)
            away.retry_after = None
            wait_until(lambda: len(away.asked) >= 6)
    gaps = [second - first for first, second in pairwise(away.asked)]
    assert gaps[0] >= 1
    for failures, gap in enumerate(gaps):
        assert gap >= synctime * 60 * 2**failures / 2
    waits = [float(re.findall(r"seconds=(\S+)", line)[0]) for line in scene.events("location_backs_off", "lab")]
    assert waits[4] > waits[2]


def test_one_that_is_refused_waits_for_its_operator(scene: Scene) -> None:
    with refusing(401) as strict:
        scene.add_location("lab", strict.resturl)
        with scene.daemon(_SHORT):
            for readings in (20, 40):  # each push writes `lastupdate`, which is no operator's word
                wait_until(functools.partial(scene.has, readings))
                scene.collect(20)
            seen = len(scene.events("cycle_ended", "central"))
            wait_until(lambda: len(scene.events("cycle_ended", "central")) > seen + 1)
            assert len(strict.asked) == 1
            assert scene.events("location_stopped", "lab") == [" seconds=3600"]
            scene.change(f"{strict.resturl}\ntoken = file:token", f"{strict.resturl}\ntoken = swordfish")
            wait_until(lambda: len(strict.asked) == 2)
    assert "swordfish" not in scene.log.read_text()


def test_sighup_calls_all_also_those_that_wait_long(scene: Scene) -> None:
    with refusing(503, "3600") as away, refusing(401) as strict:
        scene.add_location("lab", away.resturl)
        scene.add_location("office", strict.resturl)
        with scene.daemon() as daemon:
            wait_until(lambda: scene.has(20) and scene.events("cycle_ended", "central"))
            wait_until(lambda: scene.events("location_backs_off", "lab") and scene.events("location_stopped", "office"))
            scene.collect(20)
            daemon.send_signal(signal.SIGHUP)
            wait_until(lambda: scene.has(40) and len(away.asked) == 2 and len(strict.asked) == 2)


def test_the_configuration_is_followed_and_a_broken_one_stops_nobody(scene: Scene) -> None:
    with refusing(503) as away:
        scene.add_location("lab", away.resturl, on=False)
        with scene.daemon(_SHORT):
            wait_until(lambda: scene.has(20))
            assert not away.asked
            scene.change("lab = 0", "lab = 1")
            wait_until(lambda: away.asked)
            scene.change("lab = 1", "lab = 0")
            ended = len(scene.events("cycle_ended", "central"))
            wait_until(lambda: len(scene.events("cycle_ended", "central")) > ended + 1)
            asked = len(away.asked)
            scene.change("[locations]", "[locations")
            wait_until(lambda: "cycle_failed" in scene.log.read_text())
            scene.collect(20)
            scene.change("[locations", "[locations]")
            wait_until(lambda: scene.has(40))
            assert len(away.asked) == asked
            scene.change("[locations]", "state = other\n\n[locations]")  # of which it has no lock
            wait_until(lambda: "restart pusher" in scene.log.read_text())
    assert not (scene.config.parent / "other").exists()
