"""A location behind a real sshd: what goes through, what is refused, and that the next cycle works again."""

from __future__ import annotations

import getpass
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from models import Base, Reading
from pusher.central.tokens import new_token
from pusher.checks import Finding, run_checks
from pusher.config import read_lastupdate
from pusher.daemon import cycle
from pusher.datagen import Datagen
from pusher.job import NoProgress, Outcome
from pusher.schema.engine import opened
from tests.certificates import write_certificate
from tests.leftovers import nothing_left_open
from tests.prepared import prepare
from tests.servers import DatabaseServer, MariaDB, SshServer, free_port, new_ssh_key
from tests.stage import CentralService, contents, push, push_all, pusher, serving, wait_until

_READINGS = 3000
_BATCH = 700
_CONFIG = """\
[general]
site = north
localurl = {localurl}
pushlimit = {batch}

[locations]
lab = 1

[lab]
url = 127.0.0.1
sshuser = {user}
sshport = {port}
sshfolder = {folder}
sshkey = id_ed25519.pub
{way}
lastupdate = None    ; written by pusher
"""


@dataclass(frozen=True)
class Lab:
    """A site and a central database, with an SSH host between them."""

    sshd: SshServer
    central: str
    site: str
    config: Path

    @property
    def known_hosts(self) -> Path:
        return self.sshd.clients / "known_hosts"

    def configure(self, way: str, **changes: str) -> None:
        """`way`: the lines that say where central is; `changes`: other values of the section."""
        text = _CONFIG.format(
            localurl=self.site,
            batch=_BATCH,
            user=getpass.getuser(),
            port=self.sshd.port,
            folder=self.sshd.clients,
            way=way,
        )
        for key, value in changes.items():
            text = re.sub(rf"^{key} = .*\n", f"{key} = {value}\n" if value else "", text, flags=re.MULTILINE)
        self.config.write_text(text)
        self.config.chmod(0o600)

    def refused(self) -> Outcome:
        """A cycle that must fail, in one line, leave nothing open, and nothing at central."""
        with nothing_left_open():
            outcome = push(self.config)
        assert outcome.error is not None and "\n" not in outcome.error
        assert self.arrived() == 0
        return outcome

    def all_arrives(self) -> Outcome:
        with nothing_left_open():
            outcome = push_all(self.config)
        assert outcome.exit_code == 0
        assert contents(self.site) == contents(self.central)
        return outcome

    def arrived(self) -> int:
        with opened(self.central) as engine, engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(Reading)) or 0

    def check(self, *, accept_host_keys: bool = False) -> list[Finding]:
        with nothing_left_open():
            findings = run_checks(self.config, [], accept_host_keys=accept_host_keys)
            return [finding for finding in findings if finding.what == "lab"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('site') / 'site.db'}"
    with opened(url, create=True) as engine:
        Base.metadata.create_all(engine)
        Datagen(seed=1).bulk(engine, _READINGS)
    return url


@pytest.fixture
def lab(mariadb: DatabaseServer, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    central = mariadb.new_database()
    with opened(central) as engine:
        prepare(engine)
    with SshServer() as sshd:
        lab = Lab(sshd, central, site, tmp_path / "synchronise.conf")
        lab.configure(f"dbstring = {central}")
        yield lab


# --- into central's database ---


def test_all_arrives_once(lab: Lab) -> None:
    outcome = lab.all_arrives()
    assert outcome.sent >= _READINGS
    assert outcome.bytes_sent > _READINGS * 8 and outcome.bytes_received > 1000
    assert read_lastupdate(lab.config, "lab") is not None
    assert lab.all_arrives().sent == 0


def test_an_unknown_host_key_is_refused_until_it_is_accepted(lab: Lab) -> None:
    lab.known_hosts.unlink()
    fingerprint = lab.sshd.fingerprint()
    outcome = lab.refused()
    assert outcome.exit_code == 2 and outcome.error is not None
    assert f"ssh-ed25519 {fingerprint}" in outcome.error and "pusher check --accept-host-key" in outcome.error
    (finding,) = lab.check()
    assert finding.exit_code == 2 and finding.detail == outcome.error
    assert not lab.known_hosts.exists()

    done = pusher("--config", lab.config, "check", "--accept-host-key")
    assert done.returncode == 0, done.stdout
    assert (
        f"[127.0.0.1]:{lab.sshd.port} shows ssh-ed25519 {fingerprint}, which is now in {lab.known_hosts}" in done.stdout
    )
    assert lab.known_hosts.read_text() == f"[127.0.0.1]:{lab.sshd.port} {lab.sshd.host_key()}\n"
    lab.all_arrives()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_changed_host_key_is_refused_until_the_old_one_is_removed(lab: Lab, kind: str) -> None:
    old = lab.sshd.fingerprint()
    lab.sshd.stop()
    lab.sshd.new_host_key(kind)
    lab.sshd.start()
    error = lab.refused().error or ""
    assert old in error and lab.sshd.fingerprint() in error
    known = lab.known_hosts.read_text()
    assert [finding.detail for finding in lab.check(accept_host_keys=True)] == [error]
    assert lab.known_hosts.read_text() == known

    command = re.search(r"(ssh-keygen -R .*) and then", error)
    assert command, error
    subprocess.run(shlex.split(command[1]), check=True, capture_output=True)
    assert [finding.exit_code for finding in lab.check(accept_host_keys=True)] == [0] * 4
    lab.all_arrives()


def test_one_of_several_host_keys_is_enough(lab: Lab) -> None:
    """The client asks for the kind of key that it knows, though the host would rather show another."""
    other = new_ssh_key(lab.sshd.folder / "other", "rsa")
    public = " ".join(other.with_suffix(".pub").read_text().split()[:2])
    lab.known_hosts.write_text(f"[127.0.0.1]:{lab.sshd.port} {public}\n")
    lab.sshd.stop()
    config = lab.sshd.folder / "data" / "sshd_config"
    config.write_text(f"{config.read_text()}HostKey {other}\n")
    lab.sshd.start()
    lab.all_arrives()


class _CutInMidBatch(NoProgress):
    """After the first acknowledged batch: central's database is made to wait in the next, and the connection is cut."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._engine = sa.create_engine(lab.central, poolclass=sa.NullPool)
        self._locking = self._engine.connect()
        self._cutting = threading.Thread(target=self._cut)
        self.rows = 0

    def advance(self, table: str, rows: int) -> None:
        if table == "Reading" and not self.rows:
            self.rows = rows
            self._locking.exec_driver_sql("LOCK TABLES Reading WRITE")
            self._cutting.start()

    def _cut(self) -> None:
        waiting = sa.text("SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'")
        with self._engine.connect() as connection:
            wait_until(lambda: connection.scalar(waiting))
        self._lab.sshd.cut()

    def end(self) -> None:
        self._cutting.join()
        self._locking.close()
        self._engine.dispose()


def test_a_connection_that_is_cut_in_mid_batch(lab: Lab) -> None:
    with nothing_left_open():
        cut = _CutInMidBatch(lab)
        try:
            (outcome,) = cycle(lab.config, [], cut)
        finally:
            cut.end()
    assert outcome.exit_code == 3 and "Lost connection" in (outcome.error or "")
    assert cut.rows == _BATCH
    assert lab.arrived() == _BATCH
    marker = read_lastupdate(lab.config, "lab") or ""
    assert lab.all_arrives().table("Reading", "stream").sent == _READINGS - _BATCH
    assert (read_lastupdate(lab.config, "lab") or "") > marker > "2"


def test_a_wrong_key_is_refused(lab: Lab) -> None:
    right = (lab.sshd.clients / "id_ed25519").rename(lab.sshd.folder / "right")
    (lab.sshd.clients / "id_ed25519.pub").unlink()
    new_ssh_key(lab.sshd.clients / "id_ed25519")
    outcome = lab.refused()
    assert outcome.exit_code == 2
    assert f"let user {getpass.getuser()} in with {lab.sshd.clients / 'id_ed25519'};" in (outcome.error or "")
    right.rename(lab.sshd.clients / "id_ed25519")
    lab.all_arrives()


def test_a_key_that_is_not_there(lab: Lab) -> None:
    lab.configure(f"dbstring = {lab.central}", sshkey="id_rsa")
    outcome = lab.refused()
    assert outcome.exit_code == 2
    assert outcome.error == (
        f"cannot read {lab.sshd.clients / 'id_rsa'}: No such file or directory; correct sshkey or sshfolder"
    )


def test_a_host_that_is_down(lab: Lab) -> None:
    lab.sshd.stop()
    outcome = lab.refused()
    assert outcome.exit_code == 3
    assert f"SSH host 127.0.0.1 port {lab.sshd.port} cannot be reached: Connection refused" in (outcome.error or "")
    lab.sshd.start()
    lab.all_arrives()


def test_a_database_that_the_host_cannot_reach(lab: Lab) -> None:
    port = free_port()
    lab.configure(f"dbstring = mysql+pymysql://root@127.0.0.1:{port}/central")
    outcome = lab.refused()
    assert outcome.exit_code == 3 and f"cannot reach 127.0.0.1:{port}: Connect failed" in (outcome.error or "")


def test_a_host_that_forwards_nothing(lab: Lab) -> None:
    lab.sshd.stop()
    config = lab.sshd.folder / "data" / "sshd_config"
    config.write_text(f"AllowTcpForwarding no\n{config.read_text()}")
    lab.sshd.start()
    outcome = lab.refused()
    assert outcome.exit_code == 2 and "AllowTcpForwarding" in (outcome.error or "")


def test_a_database_that_is_not_prepared(lab: Lab, mariadb: DatabaseServer) -> None:
    lab.configure(f"dbstring = {mariadb.new_database()}")
    outcome = lab.refused()
    assert outcome.exit_code == 1 and "pusher db upgrade" in (outcome.error or "")


def test_a_database_that_restarts(lab: Lab, tmp_path: Path) -> None:
    with MariaDB() as other:
        central = other.new_database()
        with opened(central) as engine:
            prepare(engine)
        lab.configure(f"dbstring = {central}")
        other.kill()
        assert lab.refused().exit_code == 3
        other.start()
        with nothing_left_open():
            push_all(lab.config)
        assert contents(lab.site) == contents(central)


def test_without_an_ssh_host(lab: Lab) -> None:
    lab.configure(f"dbstring = {lab.central}", url="", sshuser="", sshport="", sshfolder="", sshkey="")
    lab.sshd.stop()
    outcome = lab.all_arrives()
    assert (outcome.bytes_sent, outcome.bytes_received) == (0, 0)


def test_a_location_that_is_refused_does_not_stop_another(lab: Lab) -> None:
    text = lab.config.read_text()
    other = text[text.index("[lab]") :].replace("[lab]", "[away]").replace("id_ed25519", "missing")
    lab.config.write_text(text.replace("lab = 1", "away = 1\nlab = 1") + other)
    with nothing_left_open():
        outcomes = {outcome.location: outcome for outcome in cycle(lab.config, [], NoProgress())}
    assert outcomes["away"].error and outcomes["lab"].error is None
    assert contents(lab.site) == contents(lab.central)
    status = pusher("--config", lab.config, "status")
    assert re.search(r"away: on, last run 2\S+, last success never, cannot read .*missing", status.stdout), (
        status.stdout
    )


# --- through other hosts ---


@pytest.fixture
def chain(lab: Lab) -> Iterator[list[SshServer]]:
    """Two more hosts, `gate` and `middle`, on the way to the one that ~/.ssh/config calls `inner`."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(SshServer()) for _ in range(2)]
        known = lab.known_hosts.read_text()
        entries = []
        for name, host in zip(("gate", "middle", "inner"), [*hosts, lab.sshd], strict=True):
            entries.append(f"Host {name}\n HostName 127.0.0.1\n Port {host.port}\n User {getpass.getuser()}\n")
        for host in hosts:
            host.authorize(lab.sshd.clients / "id_ed25519.pub")
            known += (host.clients / "known_hosts").read_text()
        lab.known_hosts.write_text(known)
        config = f"{entries[2]} ProxyJump gate,middle\n{entries[0]}{entries[1]}"
        (lab.sshd.clients / "config").write_text(f"{config}Host *\n IdentityFile {lab.sshd.clients / 'id_ed25519'}\n")
        lab.configure(f"dbstring = {lab.central}", url="inner", sshuser="", sshport="", sshkey="")
        yield hosts


def test_jump_hosts_and_an_alias(lab: Lab, chain: list[SshServer]) -> None:
    lab.all_arrives()
    assert ["Accepted publickey" in host.log.read_text() for host in [*chain, lab.sshd]] == [True] * 3


@pytest.mark.parametrize("number", [0, 1])
def test_each_jump_host_must_be_known_and_up(lab: Lab, chain: list[SshServer], number: int) -> None:
    known = lab.known_hosts.read_text()
    port = chain[number].port
    lab.known_hosts.write_text("".join(line for line in known.splitlines(keepends=True) if f":{port} " not in line))
    error = lab.refused().error or ""
    assert f"the host key of [127.0.0.1]:{port} is not known" in error and chain[number].fingerprint() in error
    assert "Accepted" not in lab.sshd.log.read_text()
    lab.known_hosts.write_text(known)
    chain[number].stop()
    error = lab.refused().error or ""
    if number == 0:
        assert f"SSH host 127.0.0.1 port {port} cannot be reached: Connection refused" in error
    else:
        assert f"SSH host 127.0.0.1 port {chain[0].port} cannot reach 127.0.0.1:{port}: Connect failed" in error
    chain[number].start()
    lab.all_arrives()


# --- to a central service ---


@pytest.fixture
def over_rest(lab: Lab) -> Callable[..., None]:
    def configure(resturl: str, more: str = "") -> None:
        with opened(lab.central) as engine:
            token = new_token(engine, "north", "push")
        lab.configure(f"resturl = {resturl}\ntoken = {token}\n{more}")

    return configure


def test_resturl_goes_through_too(lab: Lab, over_rest: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    with CentralService(lab.central) as service:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        over_rest(service.resturl)
        lab.sshd.stop()
        assert lab.refused().exit_code == 3
        lab.sshd.start()
        assert lab.all_arrives().bytes_sent > _READINGS


def test_tls_proves_the_name_in_resturl(lab: Lab, over_rest: Callable[..., None], tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "central.pem", "localhost")
    trust = f"cafile = {certificate}"
    with serving(lab.central, certfile=certificate) as resturl:
        named = resturl.replace("127.0.0.1", "localhost")
        # 127.0.0.1 is the name of the tunnel's near end, too, and localhost is not.
        for url, more in ((resturl, trust), (named, "")):
            over_rest(url, more)
            outcome = push(lab.config)
            assert outcome.exit_code == 3 and "TLS: CERTIFICATE_VERIFY_FAILED" in (outcome.error or "")
        over_rest(named, trust)
        push_all(lab.config)
    assert contents(lab.site) == contents(lab.central)
