"""`pusher serve` on a network: TLS, a proxy before it, who may read, and how often."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.certificates import write_certificate
from tests.http_central import MESSAGES, bearer
from tests.stage import pusher, start_pusher


@contextmanager
def served(cwd: Path, *options: str) -> Iterator[str]:
    """A service on its default database; gives its resturl. In the end all it has said is in the file `log`."""
    with start_pusher("serve", "--port", "0", *options, cwd=cwd, stdout=subprocess.DEVNULL) as service:
        assert service.stderr
        try:
            yield service.stderr.readline().removeprefix("central serves ").strip()
        finally:
            service.terminate()
            (cwd / "log").write_text(service.stderr.read())


def token(cwd: Path, scope: str = "push") -> str:
    return pusher("token", "new", "north", "--scope", scope, cwd=cwd).stdout.strip()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_speaks_tls(tmp_path: Path, workers: str) -> None:
    pem = str(write_certificate(tmp_path / "both.pem", "localhost"))
    with served(tmp_path, "--tls-cert", pem, "--tls-key", pem, "--workers", workers) as resturl:
        assert resturl.startswith("https://127.0.0.1:")
        base = resturl.replace("127.0.0.1", "localhost").removesuffix("/rest/")
        assert requests.get(f"{base}/ready", verify=pem, timeout=30).text == "ready\n"
        assert requests.get(f"{base}/rest/house/", headers=bearer(token(tmp_path)), verify=pem, timeout=30).json() == []
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{base}/live", timeout=30)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{base}/live".replace("https", "http"), timeout=30)


def test_files_that_will_not_do_for_tls(tmp_path: Path) -> None:
    one, other = (write_certificate(tmp_path / name, "localhost") for name in ("one.pem", "other.pem"))
    key = tmp_path / "key.pem"
    key.write_bytes(other.read_bytes()[other.read_bytes().index(b"-----BEGIN PRIVATE") :])
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(one.read_bytes()[: one.read_bytes().index(b"-----BEGIN PRIVATE")])
    (tmp_path / "text.pem").write_text("nothing\n")
    for cert, private, words in (
        ("none.pem", str(key), "cannot read none.pem: No such file"),
        (str(certificate), str(tmp_path), "cannot read"),
        (str(certificate), "text.pem", "are no certificate and its key"),
        ("text.pem", str(key), "are no certificate and its key"),
        (str(certificate), str(key), "are no certificate and its key"),
        (str(certificate), None, "--tls-cert and --tls-key go together"),
    ):
        files = ("--tls-cert", cert, *(("--tls-key", private) if private else ()))
        done = pusher("serve", "--port", "0", *files, cwd=tmp_path)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "central.db").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_reading_may_be_open_to_all(tmp_path: Path, workers: str) -> None:
    with served(tmp_path, "--read", "public", "--workers", workers) as resturl:
        base = resturl.removesuffix("/rest/")
        for path in ("/rest/house/", "/metrics", "/openapi.json"):
            assert requests.get(base + path, timeout=30).status_code == 200
            assert requests.get(base + path, headers=bearer("pusher_wrong"), timeout=30).status_code == 401
        assert requests.post(f"{base}/rest/house/", json={"address": "1 High St"}, timeout=30).status_code == 401
        assert requests.post(f"{base}/sync/v1/hello", data=MESSAGES["hello"], timeout=30).status_code == 401
    with served(tmp_path, "--workers", workers) as resturl:
        assert requests.get(resturl + "house/", timeout=30).status_code == 401
    done = pusher("serve", "--read", "everybody", cwd=tmp_path)
    assert done.returncode == 2 and "public or token" in done.stderr


def test_only_a_trusted_proxy_says_for_whom_it_speaks(tmp_path: Path) -> None:
    def guesses(resturl: str, scheme: str) -> list[int]:
        """From a hundred addresses, if the proxy is believed."""
        found = []
        for number in range(100):
            headers = bearer("pusher_guess") | {"X-Forwarded-For": f"192.0.2.{number}", "X-Forwarded-Proto": scheme}
            found.append(requests.get(resturl + "house/", headers=headers, timeout=30).status_code)
        return found

    with served(tmp_path, "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8") as resturl:
        assert guesses(resturl, "https") == [401] * 100
        moved = requests.get(
            resturl.removesuffix("rest/") + "live/",
            headers={"X-Forwarded-Proto": "https"},
            allow_redirects=False,
            timeout=30,
        )
        assert moved.headers["Location"].startswith("https://")
    for options in ((), ("--trusted-proxy", "10.0.0.0/8")):
        with served(tmp_path, *options) as resturl:
            assert 30 <= guesses(resturl, "https").count(429) <= 40  # each second one more is allowed


def test_requests_per_minute_and_what_is_logged_of_them(tmp_path: Path) -> None:
    with served(tmp_path, "--requests-per-minute", "5") as resturl:
        key = token(tmp_path)
        answers = [requests.get(resturl + "house/", headers=bearer(key), timeout=30) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert all("server" not in answer.headers for answer in answers)
        others = [token(tmp_path) for _ in range(3)]
        requests.get(resturl + f"house/?address={others[0]}", headers=bearer(others[0]), timeout=30)
        requests.get(resturl.replace("://", f"://north:{others[1]}@") + "nothing/", timeout=30)
        requests.post(resturl + "bulk/", data=b"{", headers=bearer(others[2]), timeout=30)
        requests.get(resturl + "house/", headers=bearer("pusher_unknown"), timeout=30)
    log = (tmp_path / "log").read_text()
    assert not [each for each in (key, *others, "pusher_unknown") if each in log], log
    assert "Traceback" not in log
