"""The whole walk with real processes and sockets: lease, data, training, publishing, outcome."""

from collections.abc import Callable

from protocol_server import STORES, ProtocolServer
from safetensors.torch import load
from worker_bed import RELEASE, RunningWorker, waves

from lorafleet.contracts import layout
from lorafleet.contracts.jobs import (
    CheckpointPublished,
    Heartbeat,
    Lease,
    LogLines,
    Outcome,
    Phase,
    Progress,
    SamplePublished,
)
from lorafleet.contracts.outcomes import OutcomeClass

StartWorker = Callable[..., RunningWorker]


def test_a_job_from_lease_to_weights(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.dataset({f"more/{number}.txt": b"x" * number for number in range(5)})
    console.submit("job-1", waves(sample_prompts=["a wave"], sample_every=20, validation_split=0.2, validate_every=10))
    # The second store loses the weights between their upload and the outcome: they are sent again.
    console.loses_outputs_once = True
    # And the first request for a job finds its token used by one before it, whose answer came too late.
    console.crosses_requests_once = True
    worker = start_worker("w-1", "--once", faults={"step_seconds": 0.05})
    assert worker.end() == 0
    assert console.refused == [
        "409 /api/v1/worker/lease: this token belongs to another attempt",
        "422 /api/v1/worker/outcome: far does not hold jobs/job-1/output/1/job-1.safetensors",
    ]

    (outcome,) = console.all(Outcome)
    assert (outcome.outcome, outcome.exit_code, outcome.step) == (OutcomeClass.SUCCEEDED, 0, 40)
    assert [item.key for item in outcome.outputs] == ["jobs/job-1/output/1/job-1.safetensors"]
    assert all(load(store[outcome.outputs[0].key]) for store in console.stores.values())
    assert "going on" not in outcome.log_tail
    assert "training" in outcome.log_tail

    published = console.all(CheckpointPublished)
    assert published[-1].step == 40
    assert [message.step for message in published] == sorted({message.step for message in published})
    assert all(set(message.stores) == set(STORES) and message.release == RELEASE for message in published)
    names = {item.key.removeprefix(layout.step_prefix("job-1", 1, 40)) for item in published[-1].objects}
    assert names >= {"MANIFEST.json", "state.json", "lora.safetensors", "optimizer.safetensors"}

    samples = {(sample.step, sample.prompt) for sample in console.all(SamplePublished)}
    assert samples == {(0, "a wave"), (20, "a wave"), (40, "a wave")}
    progress = console.all(Progress)
    assert (progress[-1].step, progress[-1].total_steps) == (40, 40)
    assert {"loss", "learning_rate", "validation_loss"} <= {name for point in progress for name in point.metrics}
    lines = console.all(LogLines)
    assert lines[0].first == 0
    assert [message.first for message in lines[1:]] == [message.first + len(message.lines) for message in lines[:-1]]

    beats = console.all(Heartbeat)
    assert [beat.sequence for beat in beats] == list(range(len(beats)))
    assert {Phase.PREPARING, Phase.TRAINING} <= {beat.phase for beat in beats}
    print(f"lease to first heartbeat: {console.at(beats[0]) - console.at(console.all(Lease)[0]):.3f} s")
    assert list((worker.work / "attempts").iterdir()) == []
