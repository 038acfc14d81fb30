"""Alerts as they arrive: at a real mail server and a real receiver of JSON, through faults, kills and a whole day."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from models import bookkeeping
from pusher.alerts import hear, hearing, sites
from pusher.alerts.delivery import look
from pusher.alerts.hearing import Heard, step
from pusher.alerts.listing import Listed, listed, send_test
from pusher.alerts.memory import waiting
from pusher.alerts.sites import look_at_sites, watching_sites
from pusher.central.sites import last_contacts
from pusher.central.tokens import bearer, new_token, revoke_token
from pusher.config import Settings, load
from pusher.errors import AccessRefused, ConfigError, PusherError
from pusher.job import BreakDown, Outcome, TableOutcome
from pusher.ledger import Ledger
from pusher.rest.server import open_central
from pusher.schema.engine import opened, writing
from tests.certificates import write_certificate
from tests.configs import put
from tests.conftest import NewDatabase
from tests.daemons import scene_of
from tests.servers import free_port
from tests.stage import pusher, start_pusher, wait_until

_DAY = dt.datetime(2026, 11, 26, tzinfo=dt.timezone(dt.timedelta(hours=1)))
_PASSWORD = "swordfish"

# --- the servers ----------------------------------------------------------------------------------------------------


@dataclass
class Mailbox:
    """A mail server's handler that keeps what it took. `answer`: what it says to a mail instead of taking it."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    answer: str = ""
    before_the_answer: Callable[[], None] = lambda: None

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:
        if self.answer:
            return self.answer
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients.append(list(envelope.rcpt_tos))
        self.before_the_answer()
        return "250 taken"

    @property
    def texts(self) -> list[str]:
        return [str(mail.get_content()).replace("\r\n", "\n") for mail in self.mails]

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]


def _login(_server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
    good = isinstance(data, LoginPassword) and data.password == _PASSWORD.encode()
    return AuthResult(success=good, handled=False)


class _TlsController(Controller):
    """Its own would call it with the server's context, which no client may use."""

    def _trigger_server(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port)) as line, context.wrap_socket(line) as spoken:
            spoken.recv(1)


@contextmanager
def tls_mail_server(box: Mailbox, certificate: Path) -> Iterator[int]:
    """Its port. It speaks TLS from the first byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = _TlsController(box, hostname="127.0.0.1", port=free_port(), ssl_context=context)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


@contextmanager
def mail_server(box: Mailbox, port: int = 0, certificate: Path | None = None) -> Iterator[int]:
    """Its port. With a certificate it wants STARTTLS and a login."""
    port = port or free_port()
    options: dict[str, Any] = {}
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        options = {
            "tls_context": context,
            "require_starttls": True,
            "authenticator": _login,
            "auth_required": True,
        }
    server = Controller(box, hostname="127.0.0.1", port=port, **options)
    server.start()
    try:
        yield port
    finally:
        server.stop()


@pytest.fixture
def box() -> Mailbox:
    return Mailbox()


@pytest.fixture
def mail_port(box: Mailbox) -> Iterator[int]:
    with mail_server(box) as port:
        yield port


@dataclass
class Receiver:
    """Takes JSON over HTTP. `status`: what it answers."""

    url: str = ""
    status: int = 204
    location: str = ""
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append((self.path, json.loads(content)))
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.send_response(found.status)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}/t0ken"
        yield found
        server.shutdown()
        thread.join()


# --- the site -------------------------------------------------------------------------------------------------------

_CONFIG = """\
[general]
site = house-37
[locations]
central = 1
lab = {lab}
[central]
resturl = {resturl}
[lab]
resturl = {resturl}
[alerts]
"""


def mail_to(port: int, lines: str = "starttls = no\n") -> str:
    return (
        f"mail_to = lab@example.org, boss@example.org\nmail_from = pusher@example.org\nsmtp = localhost:{port}\n{lines}"
    )


def site(folder: Path, alerts: str, *, lab: bool = False, resturl: str = "http://127.0.0.1:9/rest/") -> Settings:
    path = put(folder / "synchronise.conf", _CONFIG.format(lab=int(lab), resturl=resturl) + alerts)
    return load(path, os.environ | {"SECRET": _PASSWORD, "WRONG": "sardine"})


def at(text: str, days: int = 0) -> Callable[[], dt.datetime]:
    hours, minutes = map(int, text.split(":"))
    moment = _DAY + dt.timedelta(days=days, hours=hours, minutes=minutes)
    return lambda: moment


def look_at(settings: Settings, clock: Callable[[], dt.datetime], *outcomes: Outcome) -> None:
    step(settings, [Heard(at=clock(), outcomes=outcomes)], clock, [location.name for location in settings.locations])


def good(location: str = "central", *tables: TableOutcome) -> Outcome:
    return Outcome(location=location, kind="push", tables=list(tables))


def down(location: str = "central") -> Outcome:
    return Outcome(location=location, kind="push", error=f"{location} cannot be reached", exit_code=3)


def test_a_mail_is_as_a_mail_should_be(tmp_path: Path, box: Mailbox, mail_port: int) -> None:
    settings = site(tmp_path, mail_to(mail_port))
    text = "gestört:\r\nBcc: eve@example.org\nÜber 100 °C"
    look_at(settings, at("10:00"), Outcome(location="central", kind="push", error=text, exit_code=1))
    (mail,) = box.mails
    assert mail["Subject"] == "pusher house-37: central: gestört: Bcc: eve@example.org Über 100 °C"
    assert (mail["From"], mail["To"]) == ("pusher@example.org", "lab@example.org, boss@example.org")
    assert box.recipients == [["lab@example.org", "boss@example.org"]] and mail["Bcc"] is None
    assert mail["Date"] == "Thu, 26 Nov 2026 10:00:00 +0100"
    assert mail["Message-ID"] == "<20261126090000.1.house-37@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert box.texts[0] == "central: gestört: Bcc: eve@example.org Über 100 °C. Since 10:00.\n"


# --- a day ----------------------------------------------------------------------------------------------------------


def _minutes(text: str) -> int:
    return int(text.partition(":")[0]) * 60 + int(text.partition(":")[2])


def _within(minute: int, *spans: tuple[str, str]) -> bool:
    return any(_minutes(begin) <= minute < _minutes(end) for begin, end in spans)


def _of_central(minute: int) -> Outcome:
    """Away at night, at 15 and at 20 o'clock, flaps for two hours in the morning, has two tables stopped at noon."""
    away = _within(minute, ("1:00", "1:20"), ("15:00", "16:00"), ("20:00", "21:00"))
    if away or (_within(minute, ("8:00", "10:00")) and minute % 20 == 0):
        return down()
    tables = [TableOutcome(table="Reading", role="stream", sent=100)]
    if _within(minute, ("12:00", "13:00")):
        tables += [TableOutcome(table=name, role="stream", stopped="no such table") for name in ("House", "Node")]
    return good("central", *tables)


def _of_lab(minute: int) -> Outcome:
    """A full disk from 5 to 8 o'clock, two rows held from 14, and away with central in the evening."""
    if _within(minute, ("20:00", "21:00")):
        return down("lab")
    outcome = good("lab", TableOutcome(table="House", role="entity", held=2 * (minute >= _minutes("14:00"))))
    if _within(minute, ("5:00", "8:00")):
        outcome.break_downs = [BreakDown(what="write", text="the disk is full")]
    return outcome


def test_a_day_with_fifty_failures(tmp_path: Path, box: Mailbox, mail_port: int) -> None:
    lines = "starttls = no\nquiet = 23:00-06:00\ndigest = 7:30\n"
    settings = site(tmp_path, mail_to(mail_port, lines), lab=True)
    failures, came = 0, list[tuple[str, str]]()
    look_at(settings, at("22:00", -1), good(), good("lab"))
    for minute in range(0, 24 * 60, 10):
        clock, outcomes = at(f"{minute // 60}:{minute % 60}"), (_of_central(minute), _of_lab(minute))
        failures += sum(
            bool(each.error or each.break_downs or any(t.stopped for t in each.tables)) for each in outcomes
        )
        look_at(settings, clock, *outcomes)
        came += [(f"{clock():%H:%M}", subject) for subject in box.subjects[len(came) :]]
    assert failures == 50
    assert came == [
        # Quiet hours: central was away for a while, the lab's disk is full. Twenty runs make no more than this.
        ("06:00", "pusher house-37: during quiet hours: 1 open, 1 came and went"),
        ("07:30", "pusher house-37: summary: 1 open, 1 over"),
        # Central flaps, six times in two hours.
        ("08:00", "pusher house-37: central: central cannot be reached"),
        ("08:00", "pusher house-37: over after 3 hours: lab: the disk is full"),
        ("08:10", "pusher house-37: over after 10 minutes: central: central cannot be reached"),
        ("09:00", "pusher house-37: central: central cannot be reached"),
        ("09:10", "pusher house-37: over after 10 minutes: central: central cannot be reached"),
        # Two tables are stopped in one run.
        ("12:00", "pusher house-37: 2 faults: central"),
        ("13:00", "pusher house-37: 2 faults are over: central"),
        # Rows are held, and stay so: no more of it before the next digest.
        ("14:00", "pusher house-37: lab, House: 2 rows are held; pusher held list lab tells why"),
        ("15:00", "pusher house-37: central: central cannot be reached"),
        ("16:00", "pusher house-37: over after 1 hour: central: central cannot be reached"),
        # The whole site is away.
        ("20:00", "pusher house-37: every location fails"),
        ("21:00", "pusher house-37: 2 faults are over: central, lab"),
    ]
    assert box.texts[0] == (
        "lab: the disk is full. Since 05:00.\n"
        "central: came and went, from 01:00 to 01:20, 20 minutes. It was: central cannot be reached\n"
    )
    assert "central: 4,400 rows sent, 0 held, 47 runs (2 failed), last verified never\n" in box.texts[1]
    assert len({mail["Message-ID"] for mail in box.mails}) == len(box.mails)


# --- a mail server that is away, or refuses -------------------------------------------------------------------------


def _outbox(settings: Settings) -> list[tuple[str, int, str]]:
    with Ledger(settings.general.state) as ledger:
        return [(each.message.kind, each.attempts, each.fault or "") for each in waiting(ledger)]


def test_what_a_mail_server_does_not_take_waits_until_it_does(tmp_path: Path, box: Mailbox) -> None:
    port = free_port()
    settings = site(tmp_path, mail_to(port))
    look_at(settings, at("10:00"), down())
    ((kind, attempts, fault),) = _outbox(settings)
    assert (kind, attempts) == ("begin", 1)
    assert fault == (
        f"the mail server localhost:{port} cannot be reached: Connection refused; "
        "is smtp in [alerts] right, and is it up?"
    )
    look_at(settings, at("10:00"))
    assert [attempts for _, attempts, _ in _outbox(settings)] == [1]  # not before a minute
    look_at(settings, at("10:01"))
    look_at(settings, at("10:02"), good())
    assert [attempts for _, attempts, _ in _outbox(settings)] == [2, 0]  # in their order, and the first waits
    with mail_server(box, port):
        box.answer = "452 the disk is full"
        look_at(settings, at("10:04"))
        assert _outbox(settings)[0][2] == (
            f"the mail server localhost:{port} refuses a mail: 452 the disk is full; "
            "correct [alerts], or ask its administrator"
        )
        box.answer = ""
        look_at(settings, at("11:30"))
    assert box.subjects == [
        "pusher house-37: central: central cannot be reached",
        "pusher house-37: over after 2 minutes: central: central cannot be reached",
    ]
    assert _outbox(settings) == []


def test_the_outbox_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pusher.alerts.memory._MOST_WAITING", 3)
    settings = site(tmp_path, mail_to(free_port(), "starttls = no\nmin_interval = 1 minute\n"))
    for minute in range(5):
        look_at(settings, at(f"10:{2 * minute:02}"), down())
        look_at(settings, at(f"10:{2 * minute + 1:02}"), good())
    assert [kind for kind, *_ in _outbox(settings)] == ["end", "begin", "end"]


def test_a_clock_that_was_ahead_holds_up_no_message(tmp_path: Path, box: Mailbox) -> None:
    port = free_port()
    settings = site(tmp_path, mail_to(port))
    look_at(settings, at("10:00", 300), down())
    with mail_server(box, port):
        look_at(settings, at("10:00"), down())
    assert len(box.mails) == 1 and _outbox(settings) == []


@pytest.mark.parametrize("host", ["mail..example", f"{'x' * 70}.example"])
def test_a_host_that_can_have_no_address_is_one_that_cannot_be_reached(tmp_path: Path, host: str) -> None:
    alerts = site(tmp_path, mail_to(25).replace("localhost", host)).alerts
    assert alerts
    ((_, found),) = look(alerts)
    assert isinstance(found, PusherError) and f"the mail server {host}:25 cannot be reached" in str(found)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("mail") / "mail.pem", "localhost")


def test_tls_and_a_login(tmp_path: Path, box: Mailbox, certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    login = f"smtp_user = pusher\nsmtp_password = env:SECRET\ncafile = {certificate}\n"
    with mail_server(box, certificate=certificate) as port:
        right = site(tmp_path, mail_to(port, login))
        assert right.alerts
        assert list(look(right.alerts)) == [
            ("mail", f"the mail server localhost:{port} answers and takes the login of pusher")
        ]
        assert box.mails == []
        wrong = site(tmp_path, mail_to(port, login.replace("SECRET", "WRONG")))
        with caplog.at_level(logging.DEBUG):
            look_at(wrong, at("10:00"), down())
        ((_, _, fault),) = _outbox(wrong)
        assert "refuses the login: 535" in fault and "correct smtp_user and smtp_password in [alerts]" in fault
        assert "alert_undelivered way=mail" in caplog.text
        assert "sardine" not in caplog.text + fault
        look_at(right, at("10:01"))
        assert box.subjects == ["pusher house-37: central: central cannot be reached"]
        assert _outbox(right) == []


def test_tls_from_the_first_byte(tmp_path: Path, box: Mailbox, certificate: Path) -> None:
    with tls_mail_server(box, certificate) as port:
        look_at(site(tmp_path, mail_to(port, f"starttls = tls\ncafile = {certificate}\n")), at("10:00"), down())
        hook = site(tmp_path, f"webhook = https://localhost:{port}/t0ken\n").alerts
        assert hook
        ((_, stranger),) = look(hook)
    assert box.subjects == ["pusher house-37: central: central cannot be reached"]
    assert "the webhook at localhost cannot be reached: TLS: CERTIFICATE_VERIFY_FAILED" in str(stranger)


def test_a_certificate_that_is_not_trusted_gets_neither_mail_nor_password(
    tmp_path: Path, box: Mailbox, certificate: Path
) -> None:
    login = "smtp_user = pusher\nsmtp_password = env:SECRET\n"
    with mail_server(box, certificate=certificate) as port:
        stranger = site(tmp_path, mail_to(port, login)).alerts
        other_name = site(tmp_path, mail_to(port, f"{login}cafile = {certificate}\n").replace("localhost", "127.0.0.1"))
        assert stranger and other_name.alerts
        ((_, unknown),) = look(stranger)
        ((_, mismatch),) = look(other_name.alerts)
    assert isinstance(unknown, PusherError) and "TLS: self-signed certificate" in str(unknown)
    assert isinstance(mismatch, PusherError) and "not valid for '127.0.0.1'" in str(mismatch)
    assert box.mails == []


def test_a_server_without_starttls_is_not_spoken_to_in_plain_text(tmp_path: Path, box: Mailbox, mail_port: int) -> None:
    alerts = site(tmp_path, mail_to(mail_port, "")).alerts
    assert alerts
    ((_, found),) = send_test(alerts, "house-37", at("10:00")())
    assert isinstance(found, AccessRefused) and "correct starttls" in str(found) and box.mails == []


def test_a_kill_before_it_is_noted_that_a_mail_was_taken_repeats_it_and_loses_none(
    tmp_path: Path, box: Mailbox, mail_port: int
) -> None:
    settings = site(tmp_path, mail_to(mail_port))
    code = (
        "import sys; from pathlib import Path; from pusher.alerts import hear; from pusher.config import load; "
        "from pusher.job import Outcome; "
        "hear(load(Path(sys.argv[1])), [Outcome(location='central', kind='push', error='down', exit_code=3)])"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(settings.path)])
    box.before_the_answer = child.kill
    assert child.wait(timeout=60) == -signal.SIGKILL
    assert len(box.mails) == 1 and len(_outbox(settings)) == 1
    box.before_the_answer = lambda: None
    hear(settings, [])
    hear(settings, [])
    assert len(box.mails) == 2 and _outbox(settings) == []
    assert len({mail["Message-ID"] for mail in box.mails}) == 1  # so that it is known to be the same


# --- the webhook ----------------------------------------------------------------------------------------------------


def test_a_webhook_gets_json(tmp_path: Path, receiver: Receiver) -> None:
    settings = site(tmp_path, f"webhook = {receiver.url}\n")
    look_at(settings, at("10:00"), down())
    look_at(settings, at("10:30"), good("central", TableOutcome(table="House", role="entity", held=2)))
    path, begin = receiver.requests[0]
    assert path == "/t0ken"
    item = {
        "kind": "begin", "cause": "central/unreachable", "location": "central", "table": None, "what": "unreachable",
        "text": "central cannot be reached", "since": "2026-11-26T10:00:00+01:00", "over": None,
        "downtime_seconds": None, "times": 0,
    }  # fmt: skip
    assert begin == {
        "id": "house-37-20261126100000-1", "site": "house-37", "kind": "begin", "cause": "central/unreachable",
        "title": "central: central cannot be reached",
        "text": "central: central cannot be reached. Since 10:00.\n", "made": "2026-11-26T10:00:00+01:00",
        "since": "2026-11-26T10:00:00+01:00", "downtime_seconds": None, "items": [item], "totals": [],
    }  # fmt: skip
    held, end = (document for _, document in receiver.requests[1:])
    assert (held["kind"], held["cause"]) == ("begin", "central/House/held")
    assert (end["kind"], end["cause"], end["downtime_seconds"]) == ("end", "central/unreachable", 1800.0)


def test_one_way_that_fails_does_not_hold_up_the_other(
    tmp_path: Path, box: Mailbox, mail_port: int, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    settings = site(tmp_path, f"{mail_to(mail_port)}webhook = {receiver.url}\n")
    receiver.status = 500
    look_at(settings, at("10:00"), down())
    assert len(box.mails) == 1 and [attempts for _, attempts, _ in _outbox(settings)] == [1]
    receiver.status = 200
    look_at(settings, at("10:01"))
    assert len(box.mails) == 1 and len(receiver.requests) == 2 and _outbox(settings) == []
    assert "webhook" in caplog.text and "t0ken" not in caplog.text


def test_a_webhook_that_points_elsewhere_is_not_followed(tmp_path: Path, receiver: Receiver) -> None:
    settings = site(tmp_path, f"webhook = {receiver.url}\n")
    receiver.status, receiver.location = 307, receiver.url + "2"
    look_at(settings, at("10:00"), down())
    ((_, _, fault),) = _outbox(settings)
    assert fault == "the webhook at 127.0.0.1 points elsewhere: HTTP 307; write the address itself as webhook"
    assert [path for path, _ in receiver.requests] == ["/t0ken"]


def test_where_nothing_listens_the_address_is_not_told(tmp_path: Path) -> None:
    settings = site(tmp_path, f"webhook = http://127.0.0.1:{free_port()}/t0ken\n")
    assert settings.alerts
    ((_, found),) = look(settings.alerts)
    assert str(found) == (
        "the webhook at 127.0.0.1 cannot be reached: Connection refused; is webhook in [alerts] right?"
    )


# --- whole commands -------------------------------------------------------------------------------------------------


def test_one_run_tells_before_it_ends_and_the_commands_show_it(tmp_path: Path, box: Mailbox) -> None:
    port = free_port()
    path = site(tmp_path, mail_to(port), lab=True).path
    with mail_server(box, port):
        assert pusher("--config", path, "run", "--once").returncode == 3
        assert box.subjects == ["pusher house-37: every location fails"]
        tested = pusher("--config", path, "alerts", "test")
        assert (tested.returncode, tested.stdout) == (0, "ok   mail: a test is sent\n")
        assert box.subjects[-1] == "pusher house-37: a test: alerts arrive"
        checked = pusher("--config", path, "check")
        assert f"ok   alerts: the mail server localhost:{port} answers" in checked.stdout and len(box.mails) == 2
    listing = pusher("--config", path, "alerts", "list")
    assert listing.returncode == 1 and "central/unreachable" in listing.stdout and "lab/unreachable" in listing.stdout
    document = json.loads(pusher("--config", path, "alerts", "list", "--json").stdout)
    assert [each["cause"] for each in document["causes"]] == ["central/unreachable", "lab/unreachable"]
    assert document["outbox"] == [] and document["causes"][0]["told"]
    tested = pusher("--config", path, "alerts", "test")
    assert tested.returncode == 3 and tested.stdout.startswith("FAIL mail: the mail server localhost")
    checked = pusher("--config", path, "check")
    assert "FAIL alerts: the mail server" in checked.stdout and checked.returncode == 3


def test_what_waits_is_listed_and_nothing_is_nothing(tmp_path: Path) -> None:
    settings = site(tmp_path, mail_to(free_port()))
    done = pusher("--config", settings.path, "alerts", "list")
    assert (done.returncode, done.stdout) == (0, "nothing is wrong, and no message waits\n")
    look_at(settings, at("10:00"), down())
    (message,) = listed(settings).outbox
    assert (message.way, message.kind, message.title) == ("mail", "begin", "central: central cannot be reached")
    done = pusher("--config", settings.path, "alerts", "list")
    assert done.returncode == 1 and "waiting to be sent" in done.stdout and "Connection refused" in done.stdout


def test_a_daemon_tells_while_it_runs(tmp_path: Path, box: Mailbox, mail_port: int) -> None:
    path = site(tmp_path, mail_to(mail_port), lab=True).path
    with start_pusher("--config", path, "run", stdout=subprocess.DEVNULL) as daemon:
        wait_until(lambda: box.mails)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=10) == 0
    assert box.subjects == ["pusher house-37: every location fails"]


def test_a_run_that_a_signal_ends_is_no_fault(
    new_database: NewDatabase, tmp_path: Path, box: Mailbox, mail_port: int
) -> None:
    with scene_of(new_database, tmp_path) as scene:
        scene.collect(2000)
        put(scene.config, f"{scene.config.read_text()}\n[alerts]\n{mail_to(mail_port)}")
        with start_pusher("--config", scene.config, "run", "--once") as once:
            wait_until(lambda: scene.arrived() > 20)
            once.send_signal(signal.SIGINT)
            assert once.wait() == 1
        with scene.daemon() as daemon:
            before = scene.arrived()
            wait_until(lambda: scene.arrived() > before)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait() == 0
        settings = load(scene.config)
        assert "stopped by a signal" in scene.log.read_text()
    assert box.mails == [] and listed(settings) == Listed(causes=[], outbox=[])


def test_a_mail_server_that_never_answers_holds_up_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hearing, "_BOUND_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = site(tmp_path, mail_to(silent.getsockname()[1]).replace("localhost", "127.0.0.1"))
        hear(settings, [down()])
        assert "alerts_slow" in caplog.text
        wait_until(lambda: _outbox(settings))
        silent.accept()[0].close()  # the thread behind it ends
        wait_until(lambda: [attempts for _, attempts, _ in _outbox(settings)] == [1])


def test_a_ledger_that_cannot_be_used_is_logged_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = site(tmp_path, mail_to(9))
    settings.general.state.write_text("a file")
    hear(settings, [down()])
    assert "alerts_failed" in caplog.text and "Traceback" not in caplog.text


# --- silence, at the site and at central ----------------------------------------------------------------------------


def test_silence_and_what_was_not_verified_are_told_and_are_over(tmp_path: Path, box: Mailbox, mail_port: int) -> None:
    lines = "starttls = no\nsilent_after = 1 day\nunverified_after = 2 days\n"
    settings = site(tmp_path, mail_to(mail_port, lines))
    look_at(settings, at("10:00"), good())
    look_at(settings, at("10:00", 1))
    step(settings, [], at("12:00", 1), awake=[])  # a daemon that has just started
    assert box.mails == []
    look_at(settings, at("12:00", 1))
    look_at(settings, at("13:00", 1), good())
    look_at(settings, at("10:30", 2))
    with Ledger(settings.general.state) as ledger, ledger.change() as db:
        verified = at("11:00", 2)().astimezone(dt.UTC).isoformat()
        db.execute("insert into verdict values ('central', '', ?, 0, '')", (verified,))
    look_at(settings, at("11:30", 2))
    silent = "central: no run has ended well since 2026-11-26 10:00 (1 day 2 hours); pusher status tells more"
    late = "central: not verified for 2 days; run pusher verify central, or set reconcile = daily"
    assert box.texts == [
        f"{silent}. Since 12:00.\n",
        f"central: is over: from 12:00 to 13:00, 1 hour. It was: {silent.removeprefix('central: ')}\n",
        f"{late}. Since 10:30.\n",
        f"central: is over: from 10:30 to 11:30, 1 hour. It was: {late.removeprefix('central: ')}\n",
    ]


def _central(folder: Path, alerts: str) -> Path:
    return put(
        folder / "alerts.ini", f"[general]\nsite = central\nstate = watch\n[alerts]\n{alerts}silent_after = 1 day\n"
    )


def test_central_knows_when_each_site_last_called(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/central.db"
    open_central(url, make=True).dispose()
    moment = dt.datetime(2026, 11, 26, 10)
    with opened(url) as engine:
        with writing(engine).begin() as connection:
            rows = [
                {"name": name, "first_contact": moment, "last_contact": moment} for name in ("north", "south", "sql")
            ]
            connection.execute(sa.insert(bookkeeping.site), rows)
        assert bearer(engine, new_token(engine, "files", "push"))  # a site that sends files says no hello
        assert bearer(engine, new_token(engine, "reader", "read"))
        new_token(engine, "never", "push")
        new_token(engine, "south", "push")
        revoke_token(engine, 4)
        found = last_contacts(engine)
    assert found["north"] == found["sql"] == moment.replace(tzinfo=dt.UTC)
    assert found.keys() == {"north", "sql", "files"}


def test_central_tells_of_sites_that_stop_reporting(tmp_path: Path, box: Mailbox, mail_port: int) -> None:
    settings = sites.load_site_alerts(_central(tmp_path, mail_to(mail_port)))
    contacts = {"north": at("10:00")(), "south": at("20:00")()}
    look_at_sites(settings, contacts, at("9:00", 1))
    look_at_sites(settings, contacts, at("11:00", 1))
    look_at_sites(settings, contacts, at("21:00", 1))
    look_at_sites(settings, {"north": at("22:00", 1)()}, at("22:00", 1))
    assert list(zip(box.subjects, box.texts, strict=True)) == [
        (
            "pusher central: north: site north has not reported since 2026-11-26 10:00 (1 day 1 hour)",
            "north: site north has not reported since 2026-11-26 10:00 (1 day 1 hour). Since 11:00.\n",
        ),
        (
            "pusher central: no site reports",
            "no site reports.\n"
            "south: site south has not reported since 2026-11-26 20:00 (1 day 1 hour). Since 21:00.\n",
        ),
        (
            "pusher central: 2 faults are over: north, south",
            "north: is over: from 11:00 to 22:00, 11 hours. It was: site north has not reported since "
            "2026-11-26 10:00 (1 day 11 hours)\n"
            "south: is no longer watched: from 21:00 to 22:00, 1 hour. It was: site south has not reported since "
            "2026-11-26 20:00 (1 day 1 hour)\n",
        ),
    ]


def test_the_service_watches_while_it_runs(
    tmp_path: Path, box: Mailbox, mail_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(sites, "_TICK_SECONDS", 0.01)
    url = f"sqlite:///{tmp_path}/central.db"
    open_central(url, make=True).dispose()
    with opened(url) as engine, writing(engine).begin() as connection:
        moment = dt.datetime(2026, 11, 1)
        row = {"name": "north", "first_contact": moment, "last_contact": moment}
        connection.execute(sa.insert(bookkeeping.site), row)
    path = _central(tmp_path, mail_to(mail_port))
    with watching_sites(path, url):
        wait_until(lambda: box.mails)
        with pytest.raises(PusherError, match="another pusher"), watching_sites(path, url):
            pass
    assert "site north has not reported since" in box.subjects[0]


def test_a_file_for_central_says_what_is_missing(tmp_path: Path) -> None:
    path = put(tmp_path / "alerts.ini", f"[alerts]\n{mail_to(25)}")
    with pytest.raises(ConfigError, match="silent_after is missing; add silent_after = 1 day"):
        sites.load_site_alerts(path)
    put(path, f"[alerts]\n{mail_to(25)}silent_after = 1 day\nunverified_after = 8 days\n")
    with pytest.raises(ConfigError, match="unverified_after is for a site's own file"):
        sites.load_site_alerts(path)
    done = pusher("serve", "--alerts", path, "--port", "0", cwd=tmp_path)
    assert done.returncode == 2 and "unverified_after" in done.stderr


def test_serve_with_alerts_ends_in_order(tmp_path: Path) -> None:
    path = _central(tmp_path, mail_to(25))
    arguments = ("serve", "--alerts", path, "--port", "0", "--workers", "2")
    with start_pusher(*arguments, cwd=tmp_path, stdout=subprocess.DEVNULL) as service:
        assert service.stderr
        address = service.stderr.readline().removeprefix("central serves ").strip()
        assert requests.get(address.replace("/rest/", "/live"), timeout=30).text == "ok\n"
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=20) == 0
        assert "Traceback" not in service.stderr.read()
    assert (tmp_path / "watch" / "lock").exists()
