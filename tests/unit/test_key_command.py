"""`pusher key`: made once, for its owner alone; shown without the private part; tried without showing an answer."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import nacl.public
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pusher.cli.context import Context
from pusher.cli.key import key as command
from pusher.errors import ConfigError, PusherError, UsageError
from pusher.export.pool import Pool
from pusher.export.sealing import opener_for
from tests.configs import put

_CONFIG = """\
[locations]
mindtrails = 1
central = 0
[mindtrails]
kind = export
url = https://mindtrails.example.org/api/
{key}
[central]
resturl = https://central.example.org/rest/
"""
_DAYS = (dt.date(2026, 11, 25), dt.date(2026, 11, 26))


@cache
def _rsa_of(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def _rsa(number: int = 0) -> rsa.RSAPrivateKey:
    return _rsa_of(number)


def _pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _sealed(text: str, key: rsa.RSAPrivateKey) -> str:
    return base64.b64encode(key.public_key().encrypt(text.encode(), padding.PKCS1v15())).decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    put(tmp_path / "private.pem", _pem(_rsa()))
    return put(tmp_path / "synchronise.conf", _CONFIG.format(key="key = file:private.pem"))


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    found = Pool(tmp_path / "data", "mindtrails")
    found.create()
    return found


def _run(config: Path, *words: object) -> Result:
    context = Context(config_option=str(config), verbose=False)
    return CliRunner().invoke(command, [str(word) for word in words], obj=context)


def _error(config: Path, *words: object) -> PusherError:
    error = _run(config, *words).exception
    assert isinstance(error, PusherError)
    return error


def _archive(pool: Pool, scale: str, *answers: Mapping[str, object], day: dt.date = _DAYS[1]) -> None:
    """As an earlier program did, which is read like all else."""
    pool.raw_file(scale, day).write_text(json.dumps([{"id": place, **each} for place, each in enumerate(answers, 1)]))


# --- new ------------------------------------------------------------------------------------------------------------


def test_a_new_key_is_for_its_owner_alone(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.key"
    said = _run(config, "new", file)
    assert said.exit_code == 0 and stat.S_IMODE(file.stat().st_mode) == 0o600
    private = file.read_text().strip()
    public, words = said.output.splitlines()
    assert opener_for(private).public == public and f"key = file:{file}" in words
    assert private.removeprefix("pusher-private-key:") not in said.output


def test_what_is_sealed_with_its_public_key_opens(config: Path, tmp_path: Path) -> None:
    public = _run(config, "new", tmp_path / "new.key").output.splitlines()[0]
    raw = base64.b64decode(public.removeprefix("pusher-public-key:"))
    sealed = nacl.public.SealedBox(nacl.public.PublicKey(raw)).encrypt("Grüße\n🙂".encode())
    text = f"box:{base64.b64encode(sealed).decode()}"
    assert opener_for((tmp_path / "new.key").read_text()).open(text) == "Grüße\n🙂"


def test_a_new_key_for_programs(config: Path, tmp_path: Path) -> None:
    document = json.loads(_run(config, "new", tmp_path / "new.key", "--json").output)
    opener = opener_for((tmp_path / "new.key").read_text())
    assert document == {
        "file": str(tmp_path / "new.key"),
        "kind": "sealed box, Curve25519",
        "fingerprint": opener.fingerprint,
        "public": opener.public,
    }


def test_a_key_is_never_overwritten(config: Path, tmp_path: Path) -> None:
    file = put(tmp_path / "old.key", "the only one")
    assert "exists already; name another file" in str(_error(config, "new", file))
    assert file.read_text() == "the only one"
    (tmp_path / "link").symlink_to(tmp_path / "away")
    assert "exists already" in str(_error(config, "new", tmp_path / "link"))
    assert not (tmp_path / "away").exists()


def test_a_folder_that_is_missing_is_told(config: Path, tmp_path: Path) -> None:
    error = _error(config, "new", tmp_path / "none" / "new.key")
    assert "No such file or directory; name a file in a folder that is there" in str(error) and error.exit_code == 2


# --- show -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mindtrails", "file"])
def test_show_says_all_but_the_private_part(config: Path, tmp_path: Path, name: str) -> None:
    shown = _run(config, "show", tmp_path / "private.pem" if name == "file" else name)
    assert shown.exit_code == 0
    opener = opener_for(_pem(_rsa()))
    assert shown.output == f"kind         RSA, 1024 bits\nfingerprint  {opener.fingerprint}\n{opener.public}\n"
    document = json.loads(_run(config, "show", name if name != "file" else tmp_path / "private.pem", "--json").output)
    assert document == {"kind": opener.kind, "fingerprint": opener.fingerprint, "public": opener.public}


def test_show_needs_no_configuration_for_a_file(tmp_path: Path) -> None:
    _run(tmp_path / "none", "new", tmp_path / "new.key")
    shown = _run(tmp_path / "none", "show", tmp_path / "new.key").output
    assert re.search(r"^fingerprint  SHA256:\S{43}$", shown, re.MULTILINE)
    assert re.search(r"^pusher-public-key:\S{44}$", shown, re.MULTILINE)


def test_what_has_no_key_is_told(config: Path, tmp_path: Path) -> None:
    assert isinstance(_error(config, "show", "lab"), UsageError)
    assert 'location "central" is of kind push; this is for export' in str(_error(config, "show", "central"))
    put(tmp_path / "private.pem", "swordfish")
    error = _error(config, "show", "mindtrails")
    assert isinstance(error, ConfigError) and "is no private key" in str(error) and "swordfish" not in str(error)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "it holds no text" in str(_error(config, "show", tmp_path / "binary"))
    put(config, _CONFIG.format(key=""))
    for name in ("show", "test"):
        assert 'location "mindtrails" has no key; add key = file:PATH' in str(_error(config, name, "mindtrails"))


# --- test -----------------------------------------------------------------------------------------------------------


def test_a_key_that_fits_opens_all(config: Path, pool: Pool) -> None:
    _archive(pool, "DD", {"mailRSA": _sealed("secret answer", _rsa()), "item": "plain"}, {"mailRSA": None})
    _archive(pool, "DD_FU", {"mailRSA": _sealed("secret answer", _rsa()), "nested": {"noteRSA": _sealed("", _rsa())}})
    _archive(pool, "OA", {"item": "plain"})
    tried = _run(config, "test", "mindtrails")
    assert tried.exit_code == 0 and "secret answer" not in tried.output
    fingerprint = opener_for(_pem(_rsa())).fingerprint
    assert f"key {fingerprint}: 3 opened, 0 did not" in tried.output
    assert "OA" not in tried.output
    document = json.loads(_run(config, "test", "mindtrails", "--json").output)
    assert document["fingerprint"] == fingerprint
    assert [(each["scale"], each["opened"], each["sealed"]) for each in document["scales"]] == [
        ("DD", 1, 0),
        ("DD_FU", 2, 0),
    ]


def test_a_key_that_does_not_fit_ends_with_1(config: Path, pool: Pool) -> None:
    _archive(pool, "DD", {"mailRSA": _sealed("secret answer", _rsa(1))}, {"mailRSA": _sealed("mine", _rsa())})
    tried = _run(config, "test", "mindtrails")
    assert tried.exit_code == 1 and "1 opened, 1 did not" in tried.output
    assert "another key has sealed it, or it is damaged" in tried.output
    assert "secret answer" not in tried.output and "mine" not in tried.output
    assert _run(config, "test", "mindtrails", "--json").exit_code == 1


def test_the_newest_day_alone_is_tried_and_of_it_the_newest_fields(config: Path, pool: Pool) -> None:
    _archive(pool, "DD", {"mailRSA": _sealed("old", _rsa(1))}, day=_DAYS[0])
    old, new = ({"mailRSA": _sealed("x", _rsa(number))} for number in (1, 0))
    _archive(pool, "DD", *[old] * 2, *[new] * 20)
    (trial,) = json.loads(_run(config, "test", "mindtrails", "--json").output)["scales"]
    assert (trial["day"], trial["opened"], trial["sealed"]) == ("2026-11-26", 20, 0)


def test_where_nothing_is_sealed_there_is_nothing_to_try(config: Path, pool: Pool) -> None:
    _archive(pool, "DD", {"mailRSA": None, "item": "plain"})
    tried = _run(config, "test", "mindtrails")
    assert tried.exit_code == 0 and "no sealed field is archived yet" in tried.output
