"""From a configuration to files in SharePoint: where `to` points, signing in, and what is kept between runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pusher.config import Location, load
from pusher.errors import AccessRefused, ConfigError, DestinationUnreachable
from pusher.files.graphtoken import msal_tokens
from pusher.files.job import FilesJob
from pusher.files.sessions import Sessions
from pusher.files.sharepoint import CHUNK_BYTES, open_sharepoint, parse_place
from pusher.job import Outcome
from pusher.ledger import Ledger
from tests.files_site import LONG_AGO_NS, put
from tests.login_stub import CLIENT_ID, SECRET, TENANT, Login, login_stub
from tests.servers import free_port
from tests.sharepoint_stub import TOKEN, Stub, sharepoint_stub

_CONFIG = """\
[general]
site = north
localurl = sqlite:///none.db

[locations]
instrument = 1

[instrument]
kind = files
from = raw
to = sharepoint://contoso.sharepoint.com/sites/lab/Shared%20Documents/raw
tenant = contoso.onmicrosoft.com
client_id = 11111111-2222-3333-4444-555555555555
client_secret = env:GRAPH_SECRET
settle = 0
"""


@pytest.fixture
def stub() -> Iterator[Stub]:
    with sharepoint_stub() as running:
        yield running


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Login]:
    with login_stub(tmp_path) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.cafile))
        yield running


# --- the whole ---


@pytest.fixture
def run(tmp_path: Path, stub: Stub, login: Login, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Outcome]:
    monkeypatch.setenv("GRAPH_SECRET", SECRET)
    config = tmp_path / "synchronise.conf"
    config.write_text(_CONFIG)
    (tmp_path / "raw").mkdir()

    def once() -> Outcome:
        settings = load(config)
        location: Location = settings.location("instrument")
        assert location.files
        settings.general.state.mkdir(exist_ok=True)
        with (
            Ledger(settings.general.state) as ledger,
            open_sharepoint(
                location.files, settings.general.state, "north.instrument", base_url=stub.base_url, authority=login.url
            ) as destination,
        ):
            return FilesJob(settings, location, destination, ledger).run()

    return once


def test_files_of_an_instrument_arrive_once(tmp_path: Path, stub: Stub, run: Callable[[], Outcome]) -> None:
    contents = {"a.res": b"1", "b/ü #1.csv": b"", "b/large.bin": os.urandom(CHUNK_BYTES + 1), "con.res": b"x"}
    for name, content in contents.items():
        put(tmp_path / "raw" / name, content, LONG_AGO_NS)
    outcome = run()
    assert outcome.error is None and outcome.files
    assert (outcome.files.copied, outcome.files.held) == (3, 1)
    del contents["con.res"]  # the name of a device
    assert stub.library.files() == contents
    sent = stub.library.file_bytes
    again = run()
    assert again.files and (again.files.copied, again.files.unchanged) == (0, 3)
    assert stub.library.file_bytes == sent


def test_another_run_goes_on_where_the_line_was_cut(tmp_path: Path, stub: Stub, run: Callable[[], Outcome]) -> None:
    content = os.urandom(3 * CHUNK_BYTES)
    put(tmp_path / "raw" / "large.bin", content, LONG_AGO_NS)
    for _ in range(2):
        stub.library.cut_after_bytes = CHUNK_BYTES + CHUNK_BYTES // 2
        outcome = run()
        assert outcome.error and "cannot be reached" in outcome.error and "/upload/" not in outcome.error
    assert run().error is None
    assert stub.library.files() == {"large.bin": content}
    assert stub.library.file_bytes == len(content)
    assert Sessions(tmp_path / "state" / "sharepoint-north.instrument.json") == {}


def test_the_wait_that_graph_asks_for_is_told(tmp_path: Path, stub: Stub, run: Callable[[], Outcome]) -> None:
    put(tmp_path / "raw" / "a.res", b"1", LONG_AGO_NS)
    stub.library.fail(429, "PUT", "content", Retry_After="17")
    outcome = run()
    assert outcome.retry_after_seconds == 17 and outcome.exit_code == 3
    assert run().error is None and stub.library.files() == {"a.res": b"1"}


# --- the place ---


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("sites/lab/Documents/raw/2026", ("h/sites/lab", "Documents", "raw/2026")),
        ("/sites/lab/Documents/", ("h/sites/lab", "Documents", "")),
        ("Teams/lab/My Papers/x", ("h/Teams/lab", "My Papers", "x")),
        ("Documents/raw", ("h", "Documents", "raw")),
    ],
)
def test_where_an_address_points(path: str, place: tuple[str, str, str]) -> None:
    assert parse_place("h", path) == place


@pytest.mark.parametrize("path", ["", "sites", "sites/lab", "teams/lab/"])
def test_an_address_without_a_library(path: str) -> None:
    with pytest.raises(ConfigError, match="names no library; write it like sharepoint://h/sites/lab/Documents/raw"):
        parse_place("h", path)


# --- signing in ---


def test_one_sign_in_for_many_requests(login: Login) -> None:
    token = msal_tokens(TENANT, CLIENT_ID, SECRET, login.url)
    assert login.asked == 0
    assert [token(), token(), token()] == [TOKEN] * 3
    assert login.asked == 1


@pytest.mark.parametrize(
    ("tenant", "secret", "said"),
    [
        (TENANT, "guessed", "does not sign in .*AADSTS7000215: Invalid client secret; correct client_id and"),
        ("nobody.example", SECRET, "knows no tenant nobody.example: .*correct tenant"),
    ],
)
def test_a_sign_in_that_is_refused(login: Login, tenant: str, secret: str, said: str) -> None:
    with pytest.raises(AccessRefused, match=said) as caught:
        msal_tokens(tenant, CLIENT_ID, secret, login.url)()
    assert secret not in str(caught.value) and "\n" not in str(caught.value)


def test_a_sign_in_that_does_not_work_today(login: Login) -> None:
    login.failure = {"error": "temporarily_unavailable", "error_description": "AADSTS90033: come later"}
    with pytest.raises(DestinationUnreachable, match="AADSTS90033: come later; it is tried again"):
        msal_tokens(TENANT, CLIENT_ID, SECRET, login.url)()
    login.failure = None
    assert msal_tokens(TENANT, CLIENT_ID, SECRET, login.url)() == TOKEN


def test_nobody_to_sign_in_with() -> None:
    with pytest.raises(DestinationUnreachable, match=r"cannot be reached.*is the network up"):
        msal_tokens(TENANT, CLIENT_ID, SECRET, f"https://localhost:{free_port()}")()


def test_msal_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msal", None)
    with pytest.raises(ConfigError, match=r"install pusher\[sharepoint\]"):
        msal_tokens(TENANT, CLIENT_ID, SECRET)


def test_msal_is_not_loaded_before_it_is_wanted() -> None:
    code = "import sys, pusher.files.sharepoint; sys.exit('msal' in sys.modules or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- what is kept ---


def test_addresses_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "sharepoint-a.json"
    sessions = Sessions(path)
    sessions["p1"], sessions["p2"] = "https://a/1", "https://a/2"
    del sessions["p1"]
    assert dict(Sessions(path)) == {"p2": "https://a/2"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"p1": 1}', b"[]"])
def test_what_was_kept_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sharepoint-a.json"
    path.write_bytes(content)
    sessions = Sessions(path)
    assert len(sessions) == 0
    sessions["p1"] = "https://a/1"
    assert dict(Sessions(path)) == {"p1": "https://a/1"}
