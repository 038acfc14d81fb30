"""Reading over /rest/ as old clients do it, sentence by sentence, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
import requests
import sqlalchemy as sa

from models import House
from pusher.schema.engine import opened, writing
from tests.conftest import DIALECTS
from tests.http_central import Central, bearer, central_over, detail
from tests.rest_rows import LATE, fill, get, ids, read_token, rows, table_of
from tests.servers import DatabaseServer


@pytest.fixture(scope="module", params=DIALECTS)
def central(
    request: pytest.FixtureRequest,
    servers: Callable[[str], DatabaseServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Central]:
    """One a dialect, with rows that no test changes."""
    db = (
        f"sqlite:///{tmp_path_factory.mktemp('central') / 'central.db'}"
        if request.param == "sqlite"
        else servers(request.param).new_database()
    )
    with central_over(db) as found:
        fill(found)
        yield found


# --- tables and rows ---


@pytest.mark.parametrize("path", ["house/", "House", "HOUSE/", "house", "hOuSe/?callback=dojo.io.script.jsonp"])
def test_all_objects_of_a_table(central: Central, path: str) -> None:
    found = rows(central, path)
    assert [row["id"] for row in found] == [1, 2, 3, 4]
    assert {row["__table__"] for row in found} == {"House"}
    assert found[0] == {
        "__table__": "House",
        "id": 1,
        "deploymentId": 1,
        "address": "1 High St",
        "startDate": "2026-01-01T00:00:00",
        "endDate": None,
        "serverid": None,
    }


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("house/3", [3]),
        ("HOUSE/3/", [3]),
        ("house/99", []),
        ("house/-1", []),
        ("node/38", [38]),
        ("house/1?address=2*", []),
    ],
)
def test_a_row_by_its_id_is_a_list_of_one(central: Central, path: str, found: list[int]) -> None:
    assert ids(central, path) == found


@pytest.mark.parametrize(
    "key",
    [
        "2026-01-01T00:01:00,38,0",
        "2026-01-01 00:01:00,38,0/",
        "2026-01-01%2000%3A01%3A00%2C38%2C0",
        "1%20Jan%202026%2000:01,38,0",
        "2026-01-01T01:01:00%2B01:00,38,0",
    ],
)
def test_a_composite_key_has_commas(central: Central, key: str) -> None:
    (row,) = rows(central, f"reading/{key}")
    assert (row["time"], row["nodeId"], row["value"]) == ("2026-01-01T00:01:00", 38, 1.0)


def test_a_key_of_text_may_hold_anything(central: Central) -> None:
    for key, code in (("a,b", "a,b"), ("a%2Cb", "a,b"), ("c%2Fd", "c/d"), ("%C3%A9%20%C3%BC", "é ü"), ("*", None)):
        assert [row["code"] for row in rows(central, f"keyed/{key}")] == ([code] if code else [])


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("house/abc", 400, "House.id cannot be 'abc'"),
        ("reading/1,2", 400, "time,nodeId,type"),
        ("keyless/1", 404, "no primary key"),
        ("nothing/", 404, "no table nothing"),
        ("hous/", 404, 'did you mean "House"'),
        ("pusher_token/", 404, "no table"),
        ("house/?adress=x", 400, 'did you mean "address"'),
        ("house/?adress__gte=x", 400, 'did you mean "address"'),
        ("house/?limt=5", 400, 'did you mean "limit"'),
        ("house/?sort=adress", 400, 'did you mean "address"'),
        ("house/?fields=id,adress", 400, 'did you mean "address"'),
        ("house/?id=1;drop", 400, "House.id"),
        ("house/?startDate__gte=nonsense", 400, "House.startDate"),
        ("house/?id__in=1,x", 400, "House.id"),
        ("house/?id__null=maybe", 400, "true or false"),
        ("house/?count=maybe", 400, "true or false"),
        ("house/?id=99999999999999999999", 400, "House.id"),
        ("house/?format=xml", 400, "possible: json, csv, ndjson"),
    ],
)
def test_what_makes_no_sense_is_told(central: Central, path: str, status: int, words: str) -> None:
    answer = get(central, path)
    assert answer.status_code == status
    assert words in detail(answer)


def test_reading_needs_a_token(central: Central) -> None:
    for path in ("house/", "house/1", "house", "house.csv"):
        assert requests.get(central.resturl + path, timeout=30).status_code == 401


# --- filters ---


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("id=2", [2]),
        ("ID=2", [2]),
        ("address=1 High St", [1]),
        ("lt_id=2", [1]),
        ("le_id=2", [1, 2]),
        ("gt_id=2", [3, 4]),
        ("ge_id=2", [2, 3, 4]),
        ("id=ge_3", [3, 4]),
        ("ge_id=2&lt_id=4", [2, 3]),
        ("address=*High*", [1, 2]),
        ("address=*high*", [1, 2]),
        ("address=1*", [1]),
        ("address=*St", [1]),
        ("address=*", [1, 2, 3, 4]),
        ("address=*%25_off!*", [3]),
        ("address=*_High*", []),
        ("address=None", [1, 2, 3, 4]),
        ("deploymentId=None&id=1", [1]),
        ("ge_startDate=None", [1, 2, 3, 4]),
        ("startDate=2026-01-01", [1]),
        ("startDate=1 January 2026", [1]),
        ("startDate=01/01/2026 00:00", [1]),
        ("startDate=2026-01-01T00:00:00Z", [1]),
        ("ge_startDate=2026-01-02", [3, 4]),
        ("startDate=2026-01-02*", [3]),
        ("startDate=2026-01-02T00*", [3]),
        ("id=*1*", [1]),
        ("address=2 High Street&deploymentId=1", [2]),
        ("id__lt=2", [1]),
        ("id__lte=2", [1, 2]),
        ("id__gt=2", [3, 4]),
        ("id__gte=2", [2, 3, 4]),
        ("id__ne=2", [1, 3, 4]),
        ("id__eq=2", [2]),
        ("id__in=1,4,9", [1, 4]),
        ("address__eq=*", []),
        ("deploymentId__null=true", [3]),
        ("deploymentId__null=0", [1, 2, 4]),
        ("startDate__gte=2026-01-02&startDate__lt=2026-01-03", [3]),
    ],
)
def test_filters(central: Central, query: str, found: list[int]) -> None:
    assert ids(central, f"house/?{query}") == found


def test_filters_on_columns_with_the_names_of_other_things(central: Central) -> None:
    assert [row["code"] for row in rows(central, "keyed/?limit__eq=2")] == ["c/d"]
    assert [row["code"] for row in rows(central, "keyed/?ge_x=5")] == ["a,b"]
    assert [row["code"] for row in rows(central, "keyed/?ge_ge_x=6")] == ["c/d"]
    assert [row["name"] for row in rows(central, "deployment/?name__eq=None")] == ["None"]


def test_decimals_are_compared_with_all_their_digits(central: Central) -> None:
    if central.engine.dialect.name == "sqlite":
        return  # which keeps them as doubles
    assert [row["code"] for row in rows(central, "keyed/?amount=12345678901234567890.0000000001")] == ["a,b"]
    assert [row["code"] for row in rows(central, "keyed/?amount__gt=12345678901234567890.0000000001")] == ["c/d"]


def test_the_column_type_is_typeId_to_some(central: Central) -> None:
    assert [row["type"] for row in rows(central, "reading/?typeId=2")] == [2]
    assert [datetime.fromisoformat(row["time"]) for row in rows(central, "reading/?type=2")] == [LATE]
    assert len(rows(central, "reading/?time=2026-03-01T12:30:00.25")) == 1


# --- order ---


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sort(-id)", [4, 3, 2, 1]),
        ("sort(-id)=", [4, 3, 2, 1]),
        ("sort(+id)", [1, 2, 3, 4]),
        ("sort(%2Bid)=x", [1, 2, 3, 4]),
        ("sort( id)", [1, 2, 3, 4]),
        ("sort(-address,+id)", [4, 3, 2, 1]),
        ("sort=-id", [4, 3, 2, 1]),
        ("sort=address,-id", [1, 2, 3, 4]),
        ("deploymentId=1&sort(-ADDRESS)", [2, 1]),
        ("sort()", [1, 2, 3, 4]),
    ],
)
def test_sorting(central: Central, query: str, found: list[int]) -> None:
    assert ids(central, f"house/?{query}") == found


def test_what_is_equal_comes_by_its_key(central: Central) -> None:
    found = rows(central, "reading/?sort(+nodeId,-value)&value__null=false")
    assert [(row["nodeId"], row["value"]) for row in found] == [
        *((37, float(number)) for number in range(18, -1, -2)),
        *((38, float(number)) for number in range(19, 0, -2)),
    ]


# --- Range ---


@pytest.mark.parametrize(
    ("header", "found", "told"),
    [
        ("items=0-2", [1, 2], "items 0-2/4"),
        ("items=2-100", [3, 4], "items 2-100/4"),
        ("items=10-20", [], "items 10-20/4"),
        ("items=1-1", [], "items 1-1/4"),
        ("items=0-", [1, 2, 3, 4], None),
        ("items=-2", [1, 2, 3, 4], None),
        ("items=3-1", [1, 2, 3, 4], None),
        ("bytes=0-1", [1, 2, 3, 4], None),
        ("items=a-b", [1, 2, 3, 4], None),
        ("items=0-99999999999999999999999", [1, 2, 3, 4], None),
        ("", [1, 2, 3, 4], None),
    ],
)
def test_a_range_gives_a_part(central: Central, header: str, found: list[int], told: str | None) -> None:
    answer = get(central, "house/", Range=header)
    assert answer.status_code == 200
    assert answer.headers.get("Content-Range") == told
    assert [row["id"] for row in answer.json()] == found


def test_the_total_of_a_range_is_of_what_the_filters_leave(central: Central) -> None:
    answer = get(central, "house/?address=*High*&sort(-id)", Range="items=0-1")
    assert answer.headers["Content-Range"] == "items 0-1/2"
    assert [row["id"] for row in answer.json()] == [2]


# --- forms ---


def test_a_table_without_a_key(central: Central) -> None:
    found = [(row["a"], row["b"]) for row in rows(central, "keyless/?sort=-b&b__null=false")]
    assert found == [(None, "y"), (1, "x"), (1, "x")]


def test_a_selection_of_columns(central: Central) -> None:
    assert rows(central, "house/1?fields=address,ID,address") == [
        {"__table__": "House", "address": "1 High St", "id": 1}
    ]
    assert ids(central, "house/?fields=id&sort=-address") == [4, 3, 2, 1]


_CSV = (
    "id,deploymentId,address,startDate,endDate,serverid\r\n"
    "1,1,1 High St,2026-01-01T00:00:00,,\r\n"
    '4,2,"Low Rd, 4",2026-01-03T00:00:00,,\r\n'
)


def test_csv(central: Central) -> None:
    for path, accept in (
        ("house.csv?id__in=1,4", "text/html"),
        ("house/?id__in=1,4&format=csv", "*/*"),
        ("house/?id__in=1,4", "text/csv"),
        ("house?id__in=1,4", "application/json;q=0.5, text/csv"),
    ):
        answer = get(central, path, Accept=accept)
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
        assert answer.headers["Vary"] == "Accept, Accept-Encoding"
        assert answer.text == _CSV
    assert get(central, "house.csv?id=99").text == _CSV.splitlines(keepends=True)[0]


def test_ndjson(central: Central) -> None:
    for path, accept in (("house.ndjson?fields=id", ""), ("house/?fields=id", "application/x-ndjson")):
        answer = get(central, path, Accept=accept)
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert answer.text == "".join(f'{{"__table__":"House","id":{number}}}\n' for number in range(1, 5))
    assert get(central, "house.ndjson?id=99").text == ""


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "application/json",
        "text/html, */*;q=0.1",
        "application/javascript, application/json",
    ],
)
def test_json_is_what_comes_otherwise(central: Central, accept: str) -> None:
    assert get(central, "house/", Accept=accept).headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*, text/plain"])
def test_what_is_not_to_be_had_is_refused(central: Central, accept: str) -> None:
    answer = get(central, "house/", Accept=accept)
    assert answer.status_code == 406
    assert "text/csv" in detail(answer)
    assert get(central, "house.json", Accept=accept).json()[0]["id"] == 1


def test_the_names_of_columns_never_reach_a_statement(central: Central) -> None:
    for query in ("id`=1", 'id"=1', "id);drop table House;--=1", "sort=id;drop", "fields=*", "a%00=1", "%FF=1"):
        assert get(central, f"house/?{query}").status_code == 400
    with (
        opened(str(central.engine.url.render_as_string(hide_password=False))) as engine,
        writing(engine).connect() as c,
    ):
        assert c.scalar(sa.select(sa.func.count()).select_from(table_of(House))) == 4


def test_counting_is_for_who_asks(central: Central) -> None:
    assert "X-Total-Count" not in get(central, "house/").headers
    assert get(central, "house/?count=true").headers["X-Total-Count"] == "4"
    assert get(central, "house/?count=true&address=*high*&limit=1").headers["X-Total-Count"] == "2"
    assert "X-Total-Count" not in get(central, "house/?count=false&limit=1").headers


def test_head_has_the_headers_alone(central: Central) -> None:
    for path in ("house/?limit=2", "house/?count=true", "house.csv"):
        whole = get(central, path)
        head = requests.head(central.resturl + path, headers=bearer(read_token(central)), timeout=30)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("Content-Type", "Vary", "ETag", "Link", "X-Total-Count"):
            assert head.headers.get(name) == whole.headers.get(name)
