"""The keys of a location with kind = export."""

from __future__ import annotations

from pathlib import Path

import pytest

from pusher.config import ExportSettings, load, with_scales
from pusher.config_export import parse_scales
from pusher.errors import UsageError
from tests.configs import faults, put

_EXPORT = """\
[locations]
{name} = 1
[{name}]
kind = export
url = {url}
{lines}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "synchronise.conf"


def _text(lines: str = "", *, name: str = "mindtrails", url: str = "https://m.example.org/api") -> str:
    return _EXPORT.format(name=name, url=url, lines=lines)


def _settings(path: Path, lines: str, environ: dict[str, str] | None = None) -> ExportSettings:
    (location,) = load(put(path, _text(lines)), environ or {}).locations
    assert location.kind == "export" and location.export
    return location.export


def test_what_is_not_said_has_a_default(path: Path) -> None:
    found = _settings(path, "")
    assert found == ExportSettings(url="https://m.example.org/api/", pool=path.parent / "data")
    assert found.scales == ("deleteable",) and not found.delete and found.is_sealed("answerRSA")


def test_all_may_be_said(path: Path) -> None:
    (path.parent / "private.pem").write_text("one\ntwo\n")
    lines = (
        "user = env:U\npassword = env:P\nscales = DD, DD_FU\ndelete = yes\npath = pool\noverlap = 2 hours\n"
        "timeout = 5 seconds\nkey = file:private.pem\nsealed = *RSA, secret"
    )
    found = _settings(path, lines, {"U": "admin", "P": "geheim"})
    assert (found.user, found.password and found.password.reveal()) == ("admin", "geheim")
    assert (found.scales, found.delete, found.pool) == (("DD", "DD_FU"), True, path.parent / "pool")
    assert (found.overlap_seconds, found.timeout_seconds) == (7200, 5)
    assert found.key and found.key.reveal() == "one\ntwo"
    assert found.is_sealed("secret") and found.is_sealed("xRSA") and not found.is_sealed("RSAx")
    assert "geheim" not in repr(found) and "one" not in repr(found)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("scales = all, DD", "scales: all stands alone"),
        ("scales = ../x", '"../x" is no name of a scale'),
        ("scales = ,", "scales: has no value"),
        ("delete = perhaps", '"perhaps" is not yes or no'),
        ("timeout = 0", "timeout: "),
        ("timeout = 2 hours", "at most 1 hour"),
        ("user = a:b", "user: holds a colon"),
        ("user = u\npassword = env:NONE", "environment variable NONE is not set"),
        ("key = file:none.pem", "cannot read the file none.pem"),
        ("sealed = ,", "sealed: has no value"),
        ("password = geheim", "password is that of an account, and there is none; add user"),
        ("resturl = https://x", 'unknown key "resturl"; did you mean "url"?'),
    ],
)
def test_faults(path: Path, lines: str, said: str) -> None:
    (fault,) = faults(path, _text(lines), {})
    assert said in fault and "synchronise.conf:" in fault


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://m.example.org/api/", "plain text; write https://"),
        ("https://admin:geheim@m.example.org/", "holds a user name or password"),
        ("ftp://m.example.org/", "not an http or https address"),
    ],
)
def test_faults_of_the_address(path: Path, url: str, said: str) -> None:
    (fault,) = faults(path, _text(url=url), {})
    assert said in fault and "geheim" not in fault


def test_this_machine_may_be_asked_without_tls(path: Path) -> None:
    (location,) = load(put(path, _text(url="http://127.0.0.1:8080/api")), {}).locations
    assert location.export and location.export.url == "http://127.0.0.1:8080/api/"


def test_a_location_must_have_an_address(path: Path) -> None:
    (fault,) = faults(path, "[locations]\nm = 1\n[m]\nkind = export\n", {})
    assert "url is missing; add url = https://" in fault


@pytest.mark.parametrize("name", ["../x", "logs", "a b", "a/b"])
def test_its_name_becomes_a_folder(path: Path, name: str) -> None:
    (fault,) = faults(path, _text(name=name), {})
    assert "no folder of the data pool can have this name" in fault


def test_one_that_is_off_need_not_be_complete(path: Path) -> None:
    text = _text("user = u\npassword = env:NONE").replace("mindtrails = 1", "mindtrails = 0")
    assert not load(put(path, text), {}).locations[0].on


def test_scales_for_one_run(path: Path) -> None:
    settings = load(put(path, _text()), {})
    (location,) = with_scales(settings, parse_scales("static")).locations
    assert location.export and location.export.scales == ("static",)
    assert with_scales(settings, ()) == settings
    with pytest.raises(UsageError, match="no name of a scale"):
        parse_scales("../x")
