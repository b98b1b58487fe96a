from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from lorafleet.contracts import paths, release_api

DIGEST = "sha256:" + "0123456789abcdef" * 4
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SITE = {"site": "aws", "strategy": "canary", "target_size": 3, "first_share": "10%"}
REGISTRATION = {
    "application": "lora",
    "image": "registry.example.org/trainer",
    "digest": DIGEST,
    "sites": [SITE],
    "conditions": ["errorRate > 5%"],
}
EXAMPLES: dict[type, dict[str, Any]] = {
    release_api.Registration: REGISTRATION,
    release_api.Registered: {"release": "r-1", "token": "s3cr3t", "expires_at": NOW},
    release_api.StageAnswer: {"status": "RUNNING", "detail": "3 of 20 samples", "statusUrl": "https://console.example.org/x"},
    release_api.ShareStep: {"step": 1},
    release_api.Watch: {"seconds": 300, "deadline": 600},
    release_api.FaultReport: {"fault": "smoke_job"},
    release_api.Revocation: {"reason": "cancelled by hand"},
    release_api.ReleaseView: {
        "id": "r-1",
        "application": "lora",
        "image": "registry.example.org/trainer",
        "release": {"digest": DIGEST, "sites": [SITE]},
        "created_at": NOW,
        "updated_at": NOW,
    },
}


def test_there_is_an_example_of_each_message() -> None:
    assert set(EXAMPLES) == set(release_api.MESSAGES)


@pytest.mark.parametrize("message", release_api.MESSAGES, ids=lambda model: model.__name__)
def test_messages_survive_the_wire_and_refuse_unknown_keys(message: Any) -> None:
    sent = message.model_validate(EXAMPLES[message])
    assert message.model_validate_json(sent.model_dump_json()) == sent
    with pytest.raises(ValidationError, match="Extra inputs"):
        message.model_validate({**EXAMPLES[message], "sneaked": 1})


def test_orca_finds_the_address_under_the_name_that_the_pipelines_give() -> None:
    answer = release_api.StageAnswer(status=release_api.StageStatus.RUNNING, status_url="https://console.example.org/x")
    assert '"statusUrl":"https://console.example.org/x"' in answer.model_dump_json()


def test_a_token_is_never_shown() -> None:
    registered = release_api.Registered.model_validate(EXAMPLES[release_api.Registered])
    assert "s3cr3t" not in repr(registered)
    assert "s3cr3t" in registered.model_dump_json()


@pytest.mark.parametrize("change", [{"quorum": 2}, {"quorum": 0}, {"sites": []}, {"image": "trainer:latest"}, {"watch": 300}])
def test_what_cannot_be_released_is_refused(change: dict[str, Any]) -> None:
    release_api.Registration.model_validate(REGISTRATION)
    with pytest.raises(ValidationError):
        release_api.Registration.model_validate({**REGISTRATION, **change})


def test_addresses_of_a_release_lie_below_it() -> None:
    inside = [paths.preflight("r-1"), paths.share("r-1", "aws"), paths.watch("r-1", "aws", "w-1"), paths.revoke("r-1")]
    assert all(path.startswith("/api/v1/releases/r-1/") for path in inside)
    assert len(set(inside)) == len(inside)
