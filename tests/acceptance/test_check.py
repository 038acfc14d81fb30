"""What an operator is told when something is wrong: one clear line, how to mend it, and the exit code."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from models import Base
from pusher.central.migrate import upgrade
from pusher.central.tokens import new_token
from pusher.datagen import Datagen
from pusher.schema.engine import opened
from tests.servers import free_port
from tests.stage import pusher, serving, start_pusher, wait_until, write_config


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, sa.Engine]]:
    """A central that serves: its resturl and its database."""
    db = f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}"
    with opened(db, create=True) as engine:
        upgrade(engine)
        with serving(db) as resturl:
            yield resturl, engine


@pytest.fixture
def config(central: tuple[str, sa.Engine], tmp_path: Path) -> Path:
    """A site of which all is well."""
    resturl, engine = central
    site = f"sqlite:///{tmp_path / 'site.db'}"
    with opened(site, create=True) as here:
        Base.metadata.create_all(here)
        Datagen(seed=1).bulk(here, 20)
    return write_config(tmp_path, "north", site, resturl, new_token(engine, "north", "push"))


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """A web server that has nothing to do with pusher."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            where = self.path.split("/")[1]
            self.send_response({"moved": 301, "gone": 404}.get(where, 200))
            if where == "moved":
                self.send_header("Location", "https://elsewhere.example/rest/")
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def edit(config: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, config.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    config.write_text(text)


def set_key(config: Path, key: str, value: str) -> None:
    edit(config, rf"^{key} = .*$", f"{key} = {value}")


def faults(config: Path, exit_code: int) -> list[str]:
    """What `check` finds wrong; `run --once` ends with the same code, whatever it says."""
    done = pusher("--config", config, "check")
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("ok ")]


def only_fault(config: Path, exit_code: int) -> str:
    (line,) = faults(config, exit_code)
    assert line.startswith("FAIL ")
    return line


def test_all_is_well(config: Path) -> None:
    done = pusher("--config", config, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "site north" in done.stdout and "answers as pusher" in done.stdout and "the clocks agree" in done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())


# --- the way to central ---


def test_nothing_listens(config: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/rest/"
    set_key(config, "resturl", url)
    line = only_fault(config, 3)
    assert f"central at {url} cannot be reached: Connection refused; is resturl right" in line
    done = pusher("--config", config, "run", "--once")
    assert done.returncode == 3
    assert f"central: central at {url} cannot be reached" in done.stderr


def test_every_way_that_leads_nowhere(config: Path, central: tuple[str, sa.Engine], stranger: str) -> None:
    """One location each; JSON tells which exit code each would end with alone."""
    resturl, engine = central
    refused = "unknown or revoked; make one with: pusher token new"
    ways = {
        "host": ("http://central.invalid/rest/", "any", 3, "http://central.invalid/rest/ cannot be reached"),
        "page": (f"{stranger}/page/rest/", "any", 3, "not a pusher central: its answer is of another kind"),
        "gone": (f"{stranger}/gone/rest/", "any", 3, "not a pusher central: HTTP 404; correct resturl"),
        "moved": (f"{stranger}/moved/rest/", "any", 3, "it points to https://elsewhere.example/rest/"),
        "wrong": (resturl, "any", 2, refused),
        "none": (resturl, None, 2, "a token is needed"),
        "reader": (resturl, new_token(engine, "north", "read"), 2, "this token can only read; make one with"),
        "other": (resturl, new_token(engine, "south", "push"), 2, "belongs to site south, not to north; correct site"),
    }
    for name, (url, token, _, _) in ways.items():
        edit(config, "^central = 1", f"central = 1\n{name} = 1")
        key = f"\ntoken = {token}" if token else ""
        config.write_text(config.read_text() + f"\n[{name}]\nresturl = {url}{key}\n")
    done = pusher("--config", config, "check", "--json")
    assert done.returncode == 3
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["central"]["exit_code"] == 0  # the one that works is not held up by the others
    for name, (url, token, exit_code, words) in ways.items():
        assert findings[name]["exit_code"] == exit_code
        assert words in findings[name]["detail"] and url in findings[name]["detail"]
        assert token in (None, "any") or token not in done.stdout


def test_a_wrong_token(config: Path) -> None:
    (config.parent / "token").write_text("pusher_wrong")
    line = only_fault(config, 2)
    assert "pusher token new" in line and "pusher_wrong" not in line


# --- the tables ---


def test_a_table_that_central_does_not_have(config: Path) -> None:
    with opened(f"sqlite:///{config.parent / 'site.db'}") as engine, engine.begin() as connection:
        connection.exec_driver_sql("create table Weather (day date primary key, wind float)")
    line = only_fault(config, 1)
    assert "table Weather: central has no table Weather" in line and "role = ignore" in line
    assert pusher("--config", config, "run", "--once").returncode == 1


def test_a_setting_for_a_table_that_is_not_there(config: Path) -> None:
    config.write_text(config.read_text() + "\n[table Readings]\nrole = stream\n\n[table Reading]\nkey = tyme\n")
    one, two, *_ = faults(config, 2)
    assert "[table Readings]: the site's database has no such table" in one
    assert "[table Reading]: the table has no column tyme" in two


# --- the configuration ---


def test_faults_of_the_configuration_are_told_all_at_once(config: Path) -> None:
    edit(config, "^pushlimit", "pushlimt")
    set_key(config, "resturl", "central.example.org")
    (config.parent / "token").unlink()
    key, resturl, token = faults(config, 2)
    assert f'{config}:5: [general] unknown key "pushlimt"; did you mean "pushlimit"?' in key
    assert f"{config}:11: [central] resturl: not an http or https address; write it like https://" in resturl
    assert f"{config}:12: [central] token: cannot read the file {config.parent / 'token'}" in token


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    line = only_fault(tmp_path / "none.conf", 2)
    assert "none.conf: no such file" in line and "pusher init" in line
    done = pusher("status", cwd=tmp_path, env={})
    assert done.returncode == 2 and "pusher init" in done.stderr


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    assert f"cannot read {tmp_path}: Is a directory" in only_fault(tmp_path, 2)


@pytest.mark.parametrize(
    ("command", "name", "what"),
    [("check", "nowhere", 'no location "nowhere"'), ("run", "lab", "switched off; set lab = 1 in [locations]")],
)
def test_a_location_that_is_not_there_or_off(config: Path, command: str, name: str, what: str) -> None:
    edit(config, "^central = 1", "central = 1\nlab = 0")
    config.write_text(config.read_text() + "\n[lab]\nresturl = http://lab.example/rest/\ntoken = env:NOT_SET\n")
    done = pusher("--config", config, command, name)
    assert done.returncode == 2
    assert what in done.stdout + done.stderr


# --- the site ---


def test_no_local_database(config: Path) -> None:
    (config.parent / "site.db").unlink()
    line = only_fault(config, 3)
    assert f"no database at {config.parent / 'site.db'}" in line and "localurl" in line
    done = pusher("--config", config, "run", "--once")
    assert done.returncode == 3 and "localurl" in done.stderr
    assert not (config.parent / "site.db").exists()


def test_a_local_database_that_is_none(config: Path) -> None:
    (config.parent / "site.db").write_text("Dear diary, " * 100)
    assert "not a database" in only_fault(config, 3)


def test_a_local_server_that_is_away(config: Path) -> None:
    set_key(config, "localurl", f"mysql+pymysql://pusher:secret@127.0.0.1:{free_port()}/ch")
    line = only_fault(config, 3)
    assert "the site's database cannot be reached" in line and "secret" not in line


def _file(path: Path) -> None:
    path.write_text("")


def _lock_folder(path: Path) -> None:
    (path / "lock").mkdir(parents=True)


def _damaged_ledger(path: Path) -> None:
    path.mkdir()
    (path / "ledger.db").write_text("Dear diary, " * 100)


@pytest.mark.parametrize(("spoil", "exit_code"), [(_file, 2), (_lock_folder, 2), (_damaged_ledger, 1)])
def test_a_state_folder_that_cannot_be_used(config: Path, spoil: Callable[[Path], None], exit_code: int) -> None:
    state = config.parent / "state"
    spoil(state)
    done = pusher("--config", config, "run", "--once")
    assert done.returncode == exit_code
    (line,) = done.stderr.splitlines()
    assert line.startswith("pusher: ") and str(state) in line
    if spoil is _file:
        assert line.removeprefix("pusher: ") in only_fault(config, exit_code)


def test_a_second_instance_is_refused(config: Path) -> None:
    with start_pusher("--config", config, "run") as daemon:
        lock = config.parent / "state" / "lock"
        wait_until(lambda: lock.exists() and lock.read_text())
        done = pusher("--config", config, "run", "--once")
        assert done.returncode == 4
        assert done.stderr == f"pusher: another pusher (process {daemon.pid}) uses {config.parent / 'state'}\n"
        daemon.terminate()
    assert pusher("--config", config, "run", "--once").returncode == 0


# --- init ---


def test_init_never_overwrites(tmp_path: Path) -> None:
    done = pusher("init", "--site", "house-37", cwd=tmp_path)
    assert done.returncode == 0
    config = tmp_path / "synchronise.conf"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    written = config.read_bytes()
    assert b"house-37" in written
    again = pusher("init", "--site", "other", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr == "pusher: synchronise.conf exists already; name another file, or move it away\n"
    assert config.read_bytes() == written
    assert pusher("init", tmp_path / "none" / "x.conf").returncode == 2


# --- central ---


def test_a_central_database_that_is_not_prepared(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for arguments in (("serve", "--port", "0"), ("token", "new", "north")):
        done = pusher(*arguments, "--db", f"sqlite:///{tmp_path / 'empty.db'}")
        assert done.returncode == 1, done.stderr
        (line,) = done.stderr.splitlines()
        assert "pusher db upgrade" in line


def test_a_central_database_that_is_not_there(tmp_path: Path) -> None:
    done = pusher("serve", "--port", "0", "--db", f"sqlite:///{tmp_path / 'none.db'}")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"no database at {tmp_path / 'none.db'}" in line


def test_an_address_that_cannot_be_had(central: tuple[str, sa.Engine]) -> None:
    resturl, engine = central
    port = resturl.split(":")[2].split("/")[0]
    db = engine.url.render_as_string(hide_password=False)
    done = pusher("serve", "--db", db, "--port", port)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("run", "--often"),
        ("--config",),
        ("serve", "--port", "70000"),
        ("token", "new"),
        ("token", "new", "a site"),
        ("token", "new", "north", "--scope", "write"),
        ("token", "revoke", "x"),
        ("token", "revoke", "7"),
        ("db", "upgrade"),
        ("db", "upgrade", "--db", "env:NOT_SET_ANYWHERE"),
        ("db", "current", "--db", "no url"),
        ("db", "current", "--db", "oracle://host/name"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = pusher(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


# --- for programs ---


def test_reports_are_json_if_asked(config: Path, central: tuple[str, sa.Engine], tmp_path: Path) -> None:
    db = central[1].url.render_as_string(hide_password=False)

    def report(*arguments: str) -> Any:
        done = pusher("--config", config, *arguments, "--json")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return json.loads(done.stdout)

    assert {"what", "detail", "exit_code"} == set(report("check")[0])
    (pending,) = report("run", "--dry-run").values()
    assert {view["table"]: view["pending"] for view in pending}["Reading"] == 20
    assert {view["table"]: view["role"] for view in report("plan")}["Reading"] == "stream"
    assert report("run", "--once")[0]["error"] is None
    (location,) = report("status")
    assert {table["table"]: table["pending"] for table in location["tables"]}["Reading"] == 0
    assert report("token", "list", "--db", db)[0]["site"] == "north"
    assert set(report("token", "new", "west", "--db", db)) == {"site", "scope", "token"}
    assert None not in report("db", "current", "--db", db).values()
    assert report("db", "check", "--db", db) == []


def test_a_dry_run_sends_nothing(config: Path) -> None:
    before = config.read_bytes()
    done = pusher("--config", config, "run", "--dry-run")
    assert done.returncode == 0 and "nothing was sent" in done.stdout
    assert config.read_bytes() == before
    assert "last run never" in pusher("--config", config, "status").stdout
