"""The service keeps what its description says, whatever it is asked: generated requests, right and wrong ones.

SCHEMA_CASES=2000 asks for more of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from models import Base
from pusher.rest.limits import Limits
from tests.http_central import Central, bearer
from tests.limited import limited

_CASES = int(os.environ.get("SCHEMA_CASES", "120"))
_SECONDS = 20  # for an answer
_ROWS: dict[str, dict[str, object]] = {
    "Deployment": {"id": 1, "name": "One"},
    "House": {"id": 1, "deploymentId": 1, "address": "1 High St"},
    "RoomType": {"id": 1, "name": "Bedroom"},
    "Room": {"id": 1, "roomTypeId": 1, "name": "Front"},
    "Location": {"id": 1, "houseId": 1, "roomId": 1},
    "SensorType": {"id": 1, "name": "Temperature"},
    "Node": {"id": 1, "locationId": 1},
    "Reading": {"time": datetime(2026, 1, 1), "nodeId": 1, "type": 1, "locationId": 1, "value": 20.5},
}


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """Its limits let all the wrong tokens through that are tried."""
    with limited(tmp_path_factory.mktemp("central"), Limits(failures_per_minute=1_000_000)) as central:
        for name, row in _ROWS.items():
            central.insert(Base.metadata.tables[name], row)
        yield central


@pytest.mark.timeout(3600)
def test_it_answers_as_it_is_described(central: Central) -> None:
    address, headers = central.resturl.removesuffix("/rest/"), bearer(central.token())
    # No description tells which texts are dates, nor what the rows that are there let in.
    accepted = {"expected-statuses": ["2xx", "3xx", 400, 401, 403, 404, 405, 406, 409, 422]}
    config = schemathesis.Config.from_dict({"checks": {"positive_data_acceptance": accepted}})
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", config=config, headers=headers)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    each = -(-_CASES // (2 * len(operations)))
    answers: Counter[tuple[str, int]] = Counter()
    faults: list[str] = []
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=each, suppress_health_check=list(HealthCheck), phases=[Phase.generate], deadline=None
            )
            def ask(case: schemathesis.Case[Any]) -> None:
                response = case.call_and_validate(headers=headers, timeout=_SECONDS)
                answers[case.method, response.status_code] += 1

            try:
                ask()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # where nothing is to be said, nothing is wrong
            except (Exception, BaseExceptionGroup) as error:
                faults.append(f"{operation.label} {mode.value}: {error}")
    assert not faults, "\n\n".join(faults)
    assert sum(answers.values()) >= _CASES // 2
    for method, status in (("GET", 200), ("POST", 201), ("PUT", 201), ("DELETE", 204), ("GET", 400), ("POST", 400)):
        assert answers[method, status], (method, status, answers)
    print(sum(answers.values()), "requests:", dict(answers))
