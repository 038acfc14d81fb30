"""The documents say what the program does: every command, option and key is in them, and the README's steps run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from pusher.cli.main import app
from pusher.config_example import documented_keys
from pusher.datacenter.processing import Mode
from tests.servers import free_port

_ROOT = Path(__file__).parents[2]


def _commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for each, sub in command.commands.items():
            yield from _commands(sub, f"{name} {each}".strip())
    else:
        yield name, command


def test_every_command_and_option_is_documented() -> None:
    text = (_ROOT / "docs/commands.md").read_text()
    commands = list(_commands(app))
    assert len(commands) >= 13
    for name, each in commands:
        assert re.search(rf"`(pusher )?{name}\b", text), name
        for parameter in each.params:
            for option in parameter.opts:
                assert not option.startswith("--") or option == "--help" or option in text, f"{name} {option}"


def test_every_key_is_documented_with_its_default() -> None:
    text = (_ROOT / "docs/configuration.md").read_text()
    for section, keys in documented_keys().items():
        for key in keys:
            assert re.search(rf"^\| `{key.name}` \|", text, re.MULTILINE), f"[{section}] {key.name}"


def test_no_key_is_documented_that_does_not_exist() -> None:
    text = (_ROOT / "docs/configuration.md").read_text()
    known = {key.name for keys in documented_keys().values() for key in keys}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == known


def test_links_between_documents_lead_somewhere() -> None:
    for document in (_ROOT / "README.md", *(_ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_processor_in_the_document_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (_ROOT / "docs/import.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "hospital.wards"}
    exec(code, names)
    rows = [("W1", "2"), ("X", "1"), ("W1", "3"), ("W2", "many"), ("W3", "")]
    with sa.create_engine("sqlite://").begin() as connection:
        connection.exec_driver_sql("create table ward (code text unique, beds int)")
        results = names["Wards"]().apply(connection, Mode.CREATE, ("code", "beds"), rows)
        found = connection.exec_driver_sql("select code, beds from ward").fetchall()
    reasons = [getattr(result, "reason", None) for result in results]
    assert reasons[:3] == [None, "code: begins with W; correct it", "UNIQUE constraint failed: ward.code"]
    assert "'many'" in str(reasons[3]) and reasons[4] is None
    assert [tuple(row) for row in found] == [("W1", 2), ("W3", 0)]


def test_the_first_steps_of_the_readme_run(tmp_path: Path) -> None:
    said = _run_steps(_ROOT / "README.md", tmp_path)
    assert "Push Address" in said
    assert re.search(r"Reading +stream +10,000 +10,000", said)


def test_the_tutorial_runs(tmp_path: Path) -> None:
    said = _run_steps(_ROOT / "docs/tutorial.md", tmp_path)
    assert "a run would have: 2 created, 1 refused" in said
    assert "there is no Deployment with name = 'Summer'" in said
    assert re.search(r"House +entity +4 +4 .* equal\n", said)
    assert all(f'"address":"{number} Mill Lane"' in said for number in (1, 2, 3))
    assert said.endswith("sample;value\n")


def _run_steps(document: Path, tmp_path: Path) -> str:
    """What a person sees who types all that a document says runs."""
    steps = "".join(re.findall(r"<!-- runs in tests/docs -->\n```sh\n(.*?)```", document.read_text(), re.DOTALL))
    steps = steps.replace("6543", str(free_port()))
    # The service takes a moment to listen, which a person does not notice.
    script = "set -eu\ntrap 'kill %1' EXIT\n" + steps.replace("&\n", "&\nsleep 3\n", 1)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, target in (("pusher", "-m pusher.cli.main"), ("datagen.py", str(_ROOT / "scripts/datagen.py"))):
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {target} "$@"\n')
        (tools / name).chmod(0o755)
    folder = tmp_path / "site"
    folder.mkdir()
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
