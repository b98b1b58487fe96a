"""The OpenAPI document against the console itself: schemathesis sends what the document allows and more."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings

from tests.unit.console.api.running_console import API, RunningConsole

_CALLS = 4


def test_the_document_names_every_refusal_and_has_no_repeat(console: RunningConsole) -> None:
    document = console.admin.get(f"{API}/openapi.json").json()
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            assert operation["description"], (method, path)
            for status in ("422", "4XX", "5XX"):
                assert list(operation["responses"][status]["content"]) == ["application/problem+json"], (method, path)
    assert len(ids) == len(set(ids)) >= 60
    assert document["security"] == [{"token": []}]


def test_nothing_that_is_sent_breaks_the_console(console: RunningConsole) -> None:
    schema = schemathesis.openapi.from_url(
        f"{console.url}{API}/openapi.json", headers={"Authorization": console.admin.headers["authorization"]}
    )
    called = 0

    for found in schema.get_all_operations():
        operation = found.ok()
        # A stream has no end by itself; it has tests of its own.
        strategy = operation.as_strategy()
        called += 1

        @settings(
            max_examples=_CALLS,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @_given(strategy)
        def check(case: Any) -> None:
            headers = {"Authorization": console.admin.headers["authorization"], "Accept": "application/json"}
            answer = case.call(base_url=console.url, headers=headers, timeout=30)
            assert answer.status_code < 500, (case.method, case.formatted_path, answer.status_code, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"][0] == "application/problem+json"

        check()
    assert called >= 60


def _given(strategy: Any) -> Any:
    from hypothesis import given

    return given(case=strategy)
