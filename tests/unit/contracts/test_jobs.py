import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from lorafleet.contracts import jobs, layout
from lorafleet.contracts.jobs import MESSAGE_BYTES, MESSAGES
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.training import from_mapping

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RELEASE = "sha256:" + "a" * 64
ATTEMPT = {"job": "job-1", "fence": 3}


def stored(key: str) -> dict[str, Any]:
    return {"key": key, "size": 12, "sha256": "b" * 64}


STEP_OBJECT = stored(layout.step_object("job-1", 3, 20, "lora.safetensors"))
GRANT = {
    "key": STEP_OBJECT["key"],
    "method": "PUT",
    "store": "aws-eu-central-1",
    "url": "https://store.example/x?signature=s3cr3t",
    "expires_at": NOW,
}
STORES = ["aws-eu-central-1", "gcp-us-west1"]
JOB = {
    "id": "job-1",
    "dataset": {"dataset": "cats", "version": "v1"},
    "training": from_mapping({"train_data_dir": "data", "base_model": "base.safetensors", "output_dir": "out"}),
    "resume": {"fence": 2, "step": 10, "release": RELEASE, "objects": [STEP_OBJECT]},
}
CHECKPOINT = {**ATTEMPT, "step": 20, "release": RELEASE, "format_version": 1, "objects": [STEP_OBJECT], "stores": STORES}
EXAMPLES: dict[type, dict[str, Any]] = {
    jobs.Enrolment: {"site": "aws-eu-central-1", "worker": "trainer-0", "credential": "s3cr3t"},
    jobs.AttemptToken: {"token": "s3cr3t", "expires_at": NOW},
    jobs.LeaseRequest: {
        "site": "aws-eu-central-1",
        "worker": "trainer-0",
        "release": RELEASE,
        "gpus": [{"name": "NVIDIA L4", "memory_mib": 23034}],
    },
    jobs.Lease: {"job": JOB, "fence": 3, "grants": [GRANT], "deadline": NOW, "heartbeat_seconds": 1.0},
    jobs.GrantRequest: {**ATTEMPT, "method": "PUT", "objects": [STEP_OBJECT]},
    jobs.Grants: {**ATTEMPT, "grants": [GRANT]},
    jobs.DatasetRequest: {**ATTEMPT, "after": "datasets/cats/v1/1.png"},
    jobs.DatasetFiles: {**ATTEMPT, "files": [stored("datasets/cats/v1/2.png")], "more": True},
    jobs.SecretsRequest: ATTEMPT,
    jobs.AttemptSecrets: {**ATTEMPT, "secrets": {"WANDB_API_KEY": "s3cr3t"}, "unreadable": ["HF_TOKEN"]},
    jobs.Heartbeat: {**ATTEMPT, "sequence": 0, "phase": "training", "sent_at": NOW},
    jobs.HeartbeatReply: {**ATTEMPT, "order": "hand_back", "deadline": NOW},
    jobs.Progress: {**ATTEMPT, "step": 20, "total_steps": 100, "metrics": {"loss": 0.1}, "sent_at": NOW},
    jobs.SamplePublished: {**ATTEMPT, "step": 20, "prompt": "a cat", "object": stored("jobs/job-1/samples/3/step-20/0.png")},
    jobs.LogLines: {**ATTEMPT, "first": 0, "lines": ["epoch 1", ""]},
    jobs.CheckpointPublished: CHECKPOINT,
    jobs.Head: {**CHECKPOINT, "updated_at": NOW},
    jobs.Outcome: {
        **ATTEMPT,
        "outcome": "succeeded",
        "exit_code": 0,
        "step": 100,
        "outputs": [stored("jobs/job-1/output/3/style.safetensors")],
    },
    jobs.DesiredWorkers: {"site": "aws-eu-central-1", "release": RELEASE, "workers": 0},
}


def test_there_is_an_example_of_each_message() -> None:
    assert set(EXAMPLES) == set(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda model: model.__name__)
def test_messages_survive_the_wire_and_refuse_unknown_keys(message: Any) -> None:
    sent = message.model_validate(EXAMPLES[message])
    wire = sent.model_dump_json()
    assert message.model_validate_json(wire) == sent
    with pytest.raises(ValidationError, match="Extra inputs"):
        message.model_validate({**json.loads(wire), "sneaked": 1})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(sent, next(iter(message.model_fields)), None)


@pytest.mark.parametrize("message", [jobs.Enrolment, jobs.AttemptToken, jobs.Grants, jobs.Lease, jobs.AttemptSecrets])
def test_secrets_travel_but_are_never_shown(message: Any) -> None:
    sent = message.model_validate(EXAMPLES[message])
    assert "s3cr3t" in sent.model_dump_json()
    assert "s3cr3t" not in repr(sent)
    assert "s3cr3t" not in str(sent.model_dump())


def test_a_refused_secret_is_not_shown_either() -> None:
    with pytest.raises(ValidationError) as caught:
        jobs.Grants.model_validate({**ATTEMPT, "grants": [{**GRANT, "url": "http://store.example/?signature=s3cr3t"}]})
    assert "https://" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (jobs.Heartbeat, {"protocol": 2}),
        (jobs.Heartbeat, {"fence": 0}),
        (jobs.Heartbeat, {"job": "Job 1"}),
        (jobs.Heartbeat, {"job": "../x"}),
        (jobs.Heartbeat, {"sent_at": "2026-11-24T12:00:00"}),
        (jobs.Progress, {"metrics": {"loss": float("nan")}}),
        (jobs.Progress, {"metrics": {f"m{index}": 0.0 for index in range(65)}}),
        (jobs.Progress, {"metrics": {"Loss!": 0.0}}),
        (jobs.LeaseRequest, {"release": "lora-scripts:latest"}),
        (jobs.LeaseRequest, {"wait_seconds": 61}),
        (jobs.GrantRequest, {"objects": []}),
        (jobs.AttemptSecrets, {"secrets": {"LD_PRELOAD": "x"}}),
        (jobs.AttemptSecrets, {"secrets": {"wandb": "x"}}),
        (jobs.AttemptSecrets, {"unreadable": ["PATH"]}),
        (jobs.LogLines, {"lines": ["x" * 1001]}),
        (jobs.LogLines, {"lines": ["x" * 1000] * 25}),
        (jobs.CheckpointPublished, {"stores": []}),
        (jobs.CheckpointPublished, {"objects": []}),
        (jobs.CheckpointPublished, {"fence": 4}),
        (jobs.CheckpointPublished, {"step": 2}),
        (jobs.SamplePublished, {"object": stored("jobs/job-2/samples/3/step-20/0.png")}),
        (jobs.Outcome, {"outputs": [stored("jobs/job-1/output/4/style.safetensors")]}),
        (jobs.Outcome, {"exit_code": 1}),
        (jobs.Outcome, {"outcome": "release"}),
        (jobs.Outcome, {"outcome": "unlucky", "exit_code": 1}),
        (jobs.Outcome, {"log_tail": "x" * (jobs.LOG_TAIL + 1)}),
    ],
)
def test_what_breaks_the_protocol_is_refused(message: Any, change: dict[str, Any]) -> None:
    message.model_validate(EXAMPLES[message])
    with pytest.raises(ValidationError):
        message.model_validate({**EXAMPLES[message], **change})


def test_the_largest_messages_fit_the_limit() -> None:
    def longest(folder: str) -> dict[str, Any]:
        return stored(folder + "x" * (1024 - len(folder)))

    checkpoint = jobs.CheckpointPublished.model_validate(
        {**EXAMPLES[jobs.CheckpointPublished], "objects": [longest("jobs/job-1/attempts/3/step-20/")] * jobs.MAX_OBJECTS}
    )
    outcome = jobs.Outcome(
        **ATTEMPT,
        outcome=OutcomeClass.RELEASE,
        exit_code=1,
        step=2**63 - 1,
        problems=(jobs.ReportedProblem(what="w" * 500, where="w" * 300, hint="h" * 300),) * jobs.MAX_PROBLEMS,
        outputs=tuple(jobs.PublishedObject(**longest("jobs/job-1/output/3/")) for _ in range(16)),
        log_tail="x" * jobs.LOG_TAIL,
    )
    # Control characters are the longest in JSON: six bytes each.
    log = jobs.LogLines(**ATTEMPT, first=2**62, lines=("\x01" * 100,) * 100)
    for message in (checkpoint, outcome, log):
        assert len(message.model_dump_json().encode()) <= MESSAGE_BYTES
