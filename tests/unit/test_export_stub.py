"""The stand-in for the questionnaires' server keeps its contract, and its faults are faults."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from tests.export_stub import (
    BUSY,
    EMPTY,
    ERROR,
    HTML,
    NO_ID,
    NO_OBJECTS,
    NOT_JSON,
    PASSWORD,
    USER,
    Broken,
    ExportStub,
    Instead,
    Scale,
    answers,
    random_faults,
)

LOGIN = (USER, PASSWORD)


@pytest.fixture
def stub() -> Iterator[ExportStub]:
    scales = {
        "DD": Scale(rows=answers("DD", 30)),
        "DD_FU": Scale(rows=answers("DD_FU", 3)),
        "Trial": Scale(rows=answers("Trial", 3), deleteable=False),
        "TaskLog": Scale(rows={1: {"id": 1, "taskName": "DD"}}, deleteable=False, size_said=9),
    }
    with ExportStub(scales, [{"name": "study"}]) as stub:
        yield stub


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = LOGIN
        yield session


def test_the_contract(stub: ExportStub, client: requests.Session) -> None:
    assert requests.get(f"{stub.url}export/", auth=("admin", "wrong"), timeout=5).status_code == 401
    assert client.get(f"{stub.url}export/").json() == [
        {"name": "DD", "size": 30, "deleteable": True},
        {"name": "DD_FU", "size": 3, "deleteable": True},
        {"name": "Trial", "size": 3, "deleteable": False},
        {"name": "TaskLog", "size": 9, "deleteable": False},
    ]
    assert client.get(f"{stub.url}study").json() == [{"name": "study"}]
    assert client.get(f"{stub.url}export/DD").json() == list(answers("DD", 30).values())
    later = client.get(f"{stub.url}export/DD?after=2026-01-31-12-28-00").json()
    assert [row["id"] for row in later] == [29, 30]
    assert client.get(f"{stub.url}export/TaskLog?after=2026-01-31-12-28-00").json()
    assert client.get(f"{stub.url}export/None").status_code == 404
    assert stub.count("GET", "export/DD") == 2
    assert stub.requests[0] == ("GET", "export/")


def test_deleting(stub: ExportStub, client: requests.Session) -> None:
    there: list[bool] = []
    stub.on_delete = lambda scale, id_: there.append(id_ in stub.scales[scale].rows)
    paths = ("DD/7", "DD/7", "DD/x", "Nothing/1", "Trial/1")
    assert [client.delete(f"{stub.url}export/{path}").status_code for path in paths] == [200, 404, 404, 404, 403]
    assert there == [True]
    assert [(gone.scale, gone.id, gone.row) for gone in stub.deleted] == [("DD", 7, answers("DD", 30)[7])]
    stub.scales["DD_FU"].forbids = True
    assert client.delete(f"{stub.url}export/DD_FU/1").status_code == 403
    stub.scales["DD"].stays = {8}
    assert [client.delete(f"{stub.url}export/DD/8").status_code for _ in range(2)] == [200, 200]
    assert 7 not in stub.scales["DD"].rows and 8 in stub.scales["DD"].rows


def test_what_the_hook_finds_wrong_is_raised_at_the_end() -> None:
    def object_to(scale: str, id_: int) -> None:
        raise AssertionError(f"{scale} {id_}")

    stub = ExportStub({"DD": Scale(rows=answers("DD", 1))})
    stub.on_delete = object_to
    with pytest.raises(AssertionError, match="DD 1"):
        _delete_within(stub, "export/DD/1")
    assert stub.scales["DD"].rows


def _delete_within(stub: ExportStub, path: str) -> None:
    with stub, pytest.raises(requests.ConnectionError):
        requests.delete(stub.url + path, auth=LOGIN, timeout=5)


@pytest.mark.parametrize("fault", [ERROR, BUSY, HTML, NOT_JSON, EMPTY, NO_ID, NO_OBJECTS])
def test_another_answer(fault: Instead, stub: ExportStub, client: requests.Session) -> None:
    stub.once("GET", "export/DD", fault)
    answer = client.get(f"{stub.url}export/DD?after=2026-01-31-12-28-00")
    assert (answer.status_code, answer.content) == (fault.status, fault.body)
    assert len(client.get(f"{stub.url}export/DD").json()) == 30
    assert stub.befell == {fault: 1}


@pytest.mark.parametrize("fault", [Broken.RESET, Broken.LOST, Broken.HALF, Broken.CHUNKS])
def test_a_broken_answer(fault: Broken, stub: ExportStub, client: requests.Session) -> None:
    stub.once("GET", "export/DD", fault)
    stub.once("DELETE", "export/DD/1", fault)
    with pytest.raises(requests.exceptions.RequestException):
        client.get(f"{stub.url}export/DD")
    with pytest.raises(requests.exceptions.RequestException):
        client.delete(f"{stub.url}export/DD/1")
    assert (1 in stub.scales["DD"].rows) == (fault is Broken.RESET)
    assert len(client.get(f"{stub.url}export/DD").json()) in (29, 30)


def test_silence_ends_with_the_stub() -> None:
    with ExportStub() as stub:
        stub.once("GET", "export/", Broken.SILENCE)
        began = time.monotonic()
        with pytest.raises(requests.Timeout):
            requests.get(f"{stub.url}export/", auth=LOGIN, timeout=0.1)
    assert time.monotonic() - began < 5


def test_rows_without_end(stub: ExportStub, client: requests.Session) -> None:
    stub.once("GET", "export/DD", Broken.ENDLESS)
    with client.get(f"{stub.url}export/DD", stream=True) as answer:
        assert len(answer.raw.read(5_000_000)) == 5_000_000


def test_random_faults_are_the_same_again() -> None:
    first, again, other = (random_faults(seed, 0.3) for seed in (1, 1, 2))
    drawn = [first("GET", "x") for _ in range(300)]
    assert drawn == [again("GET", "x") for _ in range(300)] != [other("GET", "x") for _ in range(300)]
    assert 50 < sum(fault is not None for fault in drawn) < 130
