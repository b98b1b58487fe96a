"""A team's secrets reach the training process of one job, and nothing that anybody else can read."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from protocol_server import CREDENTIAL, ProtocolServer
from worker_bed import RELEASE, RunningWorker, waves

from lorafleet.contracts import paths
from lorafleet.contracts.jobs import AttemptToken, Enrolment, Lease, LeaseRequest, LogLines, Outcome, Progress, SecretsRequest
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.problems import ConfigError, Problem
from trainer.worker.fetching import Fetcher
from trainer.worker.outbox import Log
from trainer.worker.redaction import HIDDEN, Redaction
from trainer.worker.wire import Console

StartWorker = Callable[..., RunningWorker]
VALUE = "correct-horse-battery"


def test_one_job_s_process_has_them_and_nobody_reads_them(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.secrets = {"HF_TOKEN": VALUE, "CIVITAI_TOKEN": "the-other-secret"}
    console.submit("job-1", waves(save_steps=0, max_steps=100_000))
    faults = {"step_seconds": 0.02, "tells": ["HF_TOKEN", "CIVITAI_TOKEN"], "blurts": "REFUSED_KEY"}
    worker = start_worker("w-1", faults=faults, HF_TOKEN="the-operator-s-own")
    console.wait(Progress)
    for process in (worker.process.pid, *worker.children()):
        for file in ("cmdline", "environ"):
            assert VALUE.encode() not in Path(f"/proc/{process}/{file}").read_bytes()
    # The next job has another one, and fails with an error that holds it.
    console.secrets = {"REFUSED_KEY": "the-third-secret"}
    console.submit("job-2", waves())
    console.fence_off("job-1")
    outcome = console.wait(Outcome)
    worker.terminate()
    worker.end()
    assert [message.job for message in console.all(SecretsRequest)] == ["job-1", "job-2"]
    log = [line for message in console.all(LogLines) for line in message.lines if "the variables" in line]
    assert log == [f"the variables are: ['{HIDDEN}', '{HIDDEN}']", "the variables are: ['the-operator-s-own', 'nothing']"]
    assert (outcome.job, outcome.problems[0].what) == ("job-2", f"RuntimeError: not taken: {HIDDEN}")
    stored = b"".join(content for store in console.stores.values() for content in store.values())
    told = "".join(message.model_dump_json() for _, message in console.said)
    for value in (VALUE, "the-other-secret", "the-third-secret"):
        assert value not in told + worker.output
        assert value.encode() not in stored


def test_what_the_console_cannot_decrypt_is_the_team_s_to_mend(console: ProtocolServer) -> None:
    console.submit("job-1", waves())
    enrolment = Enrolment(site="site-1", worker="w-1", credential=CREDENTIAL)
    speaker = Console(console.url, Console(console.url).ask(paths.ENROL, enrolment, AttemptToken).token)
    lease = speaker.ask(paths.LEASE, LeaseRequest(site="site-1", worker="w-1", release=RELEASE, gpus=()), Lease)
    fetcher = Fetcher(speaker, lease, threading.Event())
    console.secrets = {"HF_TOKEN": VALUE}
    assert {name: secret.get_secret_value() for name, secret in fetcher.secrets().items()} == console.secrets
    console.unreadable = ("WANDB_API_KEY",)
    with pytest.raises(ConfigError, match="WANDB_API_KEY: the console cannot decrypt") as caught:
        fetcher.secrets()
    assert caught.value.exit_code.outcome is OutcomeClass.USER


def test_a_value_is_hidden_whole_and_line_by_line() -> None:
    redaction = Redaction()
    redaction.hide([VALUE, f"{VALUE}-and-more", "-----BEGIN-----\nline-of-a-key\nab\n"])
    assert redaction.text(f"a {VALUE}-and-more, {VALUE}; ab") == f"a {HIDDEN}, {HIDDEN}; ab"
    assert redaction.text("line-of-a-key") == HIDDEN
    assert redaction.problem(Problem(VALUE, f"at {VALUE}", f"no {VALUE}")) == Problem(HIDDEN, f"at {HIDDEN}", f"no {HIDDEN}")
    assert Redaction().text(VALUE) == VALUE


@pytest.mark.parametrize("before", [0, 985, 1000])
def test_a_log_line_is_cut_after_it_was_cleaned(before: int) -> None:
    log = Log()
    log.redaction.hide([VALUE])
    log.add("x" * before + VALUE)
    assert "correct" not in log.tail
    assert len(log.tail) <= 1000
