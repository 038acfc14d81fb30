"""Which keys of SSH hosts are known, and which hosts lie on the way: what needs no host to find out."""

from __future__ import annotations

import base64
import getpass
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from pusher.config import Location, Secret
from pusher.errors import AccessRefused, ConfigError
from pusher.transport.hostkeys import HostKey, KnownHosts
from pusher.transport.route import Hop, route
from pusher.transport.ssh import ssh_config
from tests.servers import binary, new_ssh_key

OLD, NEW = HostKey("ssh-ed25519", b"old"), HostKey("ssh-ed25519", b"new")


def line(names: str, key: HostKey = OLD) -> str:
    return f"{names} {key.kind} {base64.b64encode(key.blob).decode()}"


def known_hosts(folder: Path, *lines: str, system: str = "") -> KnownHosts:
    (folder / "known_hosts").write_text("\n".join(lines))
    (folder / "system").write_text(system)
    return KnownHosts(folder, folder / "system")


# --- host keys ---


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("lab", "lab", 22),
        ("Lab", "lAB", 22),
        ("[lab]:2222", "lab", 2222),
        ("other,lab,10.0.0.1", "lab", 22),
        ("*.example.org", "lab.example.org", 22),
        ("lab?.example.org", "lab1.example.org", 22),
        ("[*.example.org]:2222", "lab.example.org", 2222),
        ("*,!gate", "lab", 22),
        ("::1", "::1", 22),
        ("[::1]:2222", "::1", 2222),
    ],
)
def test_a_known_host(tmp_path: Path, names: str, host: str, port: int) -> None:
    text = line(names)
    for known in (known_hosts(tmp_path, "# mine", "", text), known_hosts(tmp_path, system=f"\t{text} remark\n")):
        assert known.verify(host, port, OLD, accept=False).startswith(f"{'[' * (port != 22)}{host.lower()}")
        assert known.kinds(host, port) == ("ssh-ed25519",)
        with pytest.raises(AccessRefused, match="has changed"):
            known.verify(host, port, NEW, accept=True)


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("lab", "lab", 2222),
        ("[lab]:2222", "lab", 22),
        ("[lab]:2222", "a:2222", 22),
        ("*.example.org", "example.org", 22),
        ("lab.example.org", "labxexample.org", 22),
        ("*,!lab", "lab", 22),
        ("!lab", "gate", 22),
        ("# lab", "lab", 22),
        ("@cert-authority lab", "lab", 22),
        ("@unheard-of lab", "lab", 22),
        ("|1|nonsense", "lab", 22),
        ("|1|====|====", "lab", 22),
    ],
)
def test_a_host_that_is_not_known(tmp_path: Path, names: str, host: str, port: int) -> None:
    known = known_hosts(tmp_path, line(names), "lab", "lab ssh-ed25519", "lab ssh-ed25519 ~~~")
    assert known.kinds(host, port) == ()
    with pytest.raises(AccessRefused, match="is not known: ssh-ed25519 SHA256:"):
        known.verify(host, port, OLD, accept=False)


def test_names_that_ssh_keygen_has_hashed(tmp_path: Path) -> None:
    known = known_hosts(tmp_path, line("lab"), line("[gate]:2222", NEW), "")
    subprocess.run([binary("ssh-keygen"), "-q", "-H", "-f", tmp_path / "known_hosts"], check=True, capture_output=True)
    assert "lab" not in (tmp_path / "known_hosts").read_text()
    assert known.verify("lab", 22, OLD, accept=False) and known.verify("gate", 2222, NEW, accept=False)
    assert known.kinds("gate", 22) == ()


def test_any_of_several_keys_will_do_and_any_other_is_a_change(tmp_path: Path) -> None:
    rsa = HostKey("ssh-rsa", b"rsa")
    known = known_hosts(tmp_path, line("lab"), line("lab", rsa), system=line("lab", NEW))
    assert known.kinds("lab", 22) == ("ssh-ed25519", "ssh-rsa")
    for key in (OLD, NEW, rsa):
        known.verify("lab", 22, key, accept=False)
    for key, like in ((HostKey("ssh-rsa", b"other"), rsa), (HostKey("ecdsa-sha2-nistp256", b"x"), OLD)):
        with pytest.raises(AccessRefused) as caught:
            known.verify("lab", 22, key, accept=True)
        assert f"it shows {key}, where {tmp_path / 'known_hosts'} has {like};" in str(caught.value)
        assert f"ssh-keygen -R lab -f {tmp_path / 'known_hosts'} and then" in str(caught.value)


def test_a_revoked_key_is_never_trusted(tmp_path: Path) -> None:
    known = known_hosts(tmp_path, f"@revoked {line('*')}", line("lab"), system=line("gate"))
    for host in ("lab", "gate", "elsewhere"):
        with pytest.raises(AccessRefused, match="@revoked"):
            known.verify(host, 22, OLD, accept=True)
    assert known.kinds("elsewhere", 22) == ()
    assert known.verify("elsewhere", 22, NEW, accept=True)


@pytest.mark.parametrize("before", [None, "", "# mine\n", "# no end of line", line("gate")])
def test_an_accepted_key_is_added(tmp_path: Path, before: str | None) -> None:
    folder = tmp_path / "new" / ".ssh"
    if before is not None:
        folder.mkdir(parents=True)
        (folder / "known_hosts").write_text(before)
    known = KnownHosts(folder, tmp_path / "none")
    assert str(folder / "known_hosts") in known.verify("Lab", 2222, OLD, accept=True)
    expected = [*(before or "").splitlines(), line("[lab]:2222")]
    assert (folder / "known_hosts").read_text() == "\n".join(expected) + "\n"
    known.verify("lab", 2222, OLD, accept=False)
    assert (folder / "known_hosts").read_text() == "\n".join(expected) + "\n"


def test_known_hosts_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").mkdir()
    with pytest.raises(ConfigError, match=r"cannot read .*known_hosts: Is a directory"):
        KnownHosts(tmp_path).verify("lab", 22, OLD, accept=True)
    with pytest.raises(ConfigError, match="cannot write /proc/nowhere/known_hosts: "):
        KnownHosts(Path("/proc/nowhere"), tmp_path / "none").verify("lab", 22, OLD, accept=True)


def test_the_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path) -> None:
    path = new_ssh_key(tmp_path / "key").with_suffix(".pub")
    kind, blob = path.read_text().split()[:2]
    shown = subprocess.run([binary("ssh-keygen"), "-l", "-f", path], check=True, capture_output=True, text=True).stdout
    assert HostKey(kind, base64.b64decode(blob)).fingerprint == shown.split()[1]


# --- the route ---

LAB = Location(name="lab", on=True, kind="push", url="lab", sshfolder=Path("/keys"))


def hops(location: Location, config: str = "") -> tuple[Hop, ...]:
    return route(location, paramiko.SSHConfig.from_text(config).lookup)


def places(config: str, location: Location = LAB) -> list[tuple[str, int, str]]:
    return [(hop.host, hop.port, hop.user) for hop in hops(location, config)]


def test_what_ssh_would_do_by_itself() -> None:
    (hop,) = hops(LAB)
    assert (hop.host, hop.port, hop.user) == ("lab", 22, getpass.getuser())
    assert hop.keys == tuple(Path("/keys") / name for name in ("id_ed25519", "id_ecdsa", "id_rsa"))
    assert (hop.only_keys, hop.password) == (False, None)
    assert str(hop) == "SSH host lab"


CONFIG = """
Host lab
  HostName lab.example.org
  Port 2222
  User dang
  IdentityFile /other/key
  IdentityFile ~/second
Host gate
  HostName 10.0.0.1
  User keeper
"""


def test_ssh_config_says_more_and_the_location_has_the_last_word() -> None:
    (hop,) = hops(LAB, CONFIG)
    assert (hop.host, hop.port, hop.user) == ("lab.example.org", 2222, "dang")
    assert (hop.keys, hop.only_keys) == ((Path("/other/key"), Path.home() / "second"), False)
    assert str(hop) == "SSH host lab.example.org port 2222"
    (hop,) = hops(replace(LAB, sshuser="anna", sshport=22, sshkey="work.pub"), CONFIG)
    assert (hop.host, hop.port, hop.user) == ("lab.example.org", 22, "anna")
    assert (hop.keys, hop.only_keys) == ((Path("/keys/work"),), True)


INNER = ("lab.example.org", 2222, "dang")


@pytest.mark.parametrize(
    ("jump", "on_the_way"),
    [
        ("none", []),
        ("gate", [("10.0.0.1", 22, "keeper")]),
        ("gate:23", [("10.0.0.1", 23, "keeper")]),
        ("ben@gate", [("10.0.0.1", 22, "ben")]),
        ("ssh://ben@gate:23", [("10.0.0.1", 23, "ben")]),
        ("ben@[::1]:23", [("::1", 23, "ben")]),
        ("gate, ben@next:24,last", [("10.0.0.1", 22, "keeper"), ("next", 24, "ben"), ("last", 22, getpass.getuser())]),
    ],
)
def test_jump_hosts(jump: str, on_the_way: list[tuple[str, int, str]]) -> None:
    assert places(CONFIG.replace("  User dang", f"  User dang\n  ProxyJump {jump}")) == [*on_the_way, INNER]


def test_a_jump_host_may_have_a_jump_host() -> None:
    config = CONFIG.replace("  User dang", "  User dang\n  ProxyJump gate,second")
    config += "  ProxyJump front\nHost second\n  ProxyJump not_asked\n"
    assert [host for host, _, _ in places(config)] == ["front", "10.0.0.1", "second", "lab.example.org"]


def test_a_jump_host_gets_the_key_and_never_the_password() -> None:
    location = replace(LAB, sshkey="work", sshpassword=Secret("swordfish"))
    gate, lab = hops(location, "Host lab\n ProxyJump gate\n")
    assert (gate.keys, gate.only_keys, gate.password) == ((Path("/keys/work"),), False, None)
    assert (lab.keys, lab.only_keys, lab.password) == ((Path("/keys/work"),), True, Secret("swordfish"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("Host *\n ProxyJump gate\n", "the ProxyJump of gate leads back to gate"),
        ("Host lab\n ProxyJump a\nHost a\n ProxyJump lab\n", "the ProxyJump of a leads back to lab"),
        ("Host lab\n ProxyJump a@b@c\n", 'ProxyJump "a@b@c" of lab is not [user@]host[:port]'),
        ("Host lab\n ProxyCommand nc %h %p\n", "lab has a ProxyCommand"),
        ("Host lab\n Port ssh\n", "the Port of lab is not a number"),
    ],
)
def test_a_route_that_cannot_be_gone(config: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        hops(LAB, config)
    assert str(caught.value).startswith("/keys/config: ") and said in str(caught.value)


def test_ssh_config_is_read_from_its_folder(tmp_path: Path) -> None:
    assert ssh_config(tmp_path)("lab") == {}
    (tmp_path / "config").write_text(CONFIG)
    assert ssh_config(tmp_path)("lab")["hostname"] == "lab.example.org"
    (tmp_path / "config").write_text("Host\n")
    with pytest.raises(ConfigError, match="config: "):
        ssh_config(tmp_path)("lab")
    (tmp_path / "config").unlink()
    (tmp_path / "config").mkdir()
    with pytest.raises(ConfigError, match=r"cannot read .*config: Is a directory"):
        ssh_config(tmp_path)("lab")


def test_paramiko_is_loaded_only_where_it_is_needed() -> None:
    code = (
        "import sys, pusher.cli.main, pusher.checks, pusher.views, pusher.daemon; assert 'paramiko' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=Path(__file__).parents[2])
