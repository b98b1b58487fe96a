"""The OpenAPI document against the console itself: schemathesis sends what the document allows and more."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from tests.unit.console.api.running_console import API, RunningConsole, new_dataset, new_job

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


def ids_of(console: RunningConsole) -> dict[str, Any]:
    """Things that are there, so that calls get past the first look."""
    dataset, version = new_dataset(console.admin)
    registration = {
        "application": "lorafleet", "image": "registry.example/trainer", "digest": f"sha256:{'b' * 64}", "conditions": ["errorRate > 5%"],
        "sites": [{"site": "local", "strategy": "canary", "target_size": 1, "first_share": "10%"}],
    }  # fmt: skip
    return {
        "dataset": dataset,
        "version": version,
        "job": new_job(console.admin, dataset)["id"],
        "draft": console.admin.post(f"{API}/datasets/{dataset}/drafts").json()["draft"],
        "release_id": console.admin.post(f"{API}/releases", json=registration).json()["release"],
        "site": "local",
    }


def test_nothing_that_is_sent_breaks_the_console(console: RunningConsole) -> None:
    ids = ids_of(console)
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
            case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
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


@pytest.mark.parametrize(
    "content",
    [
        b'{"name": "\\ud800", "dataset": "DATASET", "training": {}}',
        b'{"name": "x", "dataset": "DATASET", "training": {"\\ud800": 1}}',
        b'{"name": "x", "dataset": "DATASET", "training": {"base_model": "\\ud800"}}',
        b'{"name": "x", "dataset": "DATASET", "training": {"optimizer_args": {"a": "\\ud800"}, "base_model": "x"}}',
        b'{"name": "x", "dataset": "DATASET", "training": {"base_model": "x", "learning_rate": NaN}}',
        b'{"name": "x", "dataset": "DATASET", "training": {"base_model": "x", "optimizer_args": {"a": Infinity}}}',
        b'{"name": "x", "dataset": "DATASET", "training": {"base_model": "x", "max_steps": 1e400}}',
        b'{"name": "\\u0000", "dataset": "DATASET", "training": {}}',
        b'{"name": "x", "dataset": "DATASET", "training": {"optimizer_args": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}}",
        b"[" * 100_000,
        b'{"a":' * 5000,
        b"",
        b"null",
        b"\xff\xfe",
    ],
)
def test_hostile_json_is_refused(console: RunningConsole, dataset: str, content: bytes) -> None:
    content = content.replace(b"DATASET", dataset.encode())
    for path in ("jobs", "estimate", "datasets"):
        answer = console.admin.post(f"{API}/{path}", content=content, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
