"""`pusher serve` and `pusher token`: central on its first day, and its end in order."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.stage import pusher, start_pusher


@contextmanager
def served(cwd: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A service on its default database, and its address; the test ends it."""
    with start_pusher("serve", "--port", "0", *options, cwd=cwd, stdout=subprocess.DEVNULL) as service:
        assert service.stderr
        try:
            yield service, service.stderr.readline().removeprefix("central serves ").strip()
        except BaseException:
            service.kill()
            raise


def test_a_first_day(tmp_path: Path) -> None:
    with served(tmp_path) as (service, resturl):
        token = pusher("token", "new", "north", "--scope", "read", cwd=tmp_path).stdout.strip()
        auth = {"Authorization": f"Bearer {token}"}
        assert requests.get(resturl + "house/", headers=auth, timeout=30).json() == []
        listed = pusher("token", "list", cwd=tmp_path).stdout
        assert "north" in listed and "read" in listed and token not in listed
        assert pusher("token", "revoke", "1", cwd=tmp_path).stdout == "token 1 is revoked\n"
        assert requests.get(resturl + "house/", headers=auth, timeout=30).status_code == 401
        service.send_signal(signal.SIGTERM)
        assert service.wait() == 0
    again = pusher("token", "revoke", "1", cwd=tmp_path)
    assert again.returncode == 2 and "pusher token list" in again.stderr


@pytest.mark.parametrize(("workers", "number"), [("1", signal.SIGINT), ("2", signal.SIGTERM), ("2", signal.SIGINT)])
def test_it_ends_in_order(tmp_path: Path, workers: str, number: signal.Signals) -> None:
    with served(tmp_path, "--workers", workers) as (service, resturl):
        live = resturl.replace("/rest/", "/live")
        assert requests.get(live, timeout=30).text == "ok\n"
        service.send_signal(number)
        assert service.wait(timeout=10) == 0
        assert service.stderr and "Traceback" not in service.stderr.read()
    with pytest.raises(requests.ConnectionError):
        requests.get(live, timeout=30)
