"""Workers that cannot begin: errors in one line each, and a GPU that does not work."""

import os
from collections.abc import Callable
from pathlib import Path

from protocol_server import ProtocolServer
from worker_bed import RunningWorker, waves

from lorafleet.contracts.jobs import LeaseRequest, Outcome
from lorafleet.contracts.outcomes import OutcomeClass

StartWorker = Callable[..., RunningWorker]


def test_a_bad_credential_and_another_protocol_end_with_one_line_each(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.credential = "another one"
    first = start_worker("w-1")
    assert first.end() == 78
    assert "refuses the credential of site site-1" in first.output.splitlines()[-1]
    assert "the-site-s-credential" not in first.output
    console.credential, console.protocol = "the-site-s-credential", 2
    second = start_worker("w-2")
    assert second.end() == 69
    assert "the console speaks protocol 2, this worker 1" in second.output.splitlines()[-1]
    assert "Traceback" not in first.output + second.output


def test_a_release_whose_gpu_does_not_work_says_so_with_one_job_and_ends(
    console: ProtocolServer, start_worker: StartWorker, tmp_path: Path
) -> None:
    # A driver that lists a card which torch cannot use: what a wrong CUDA in an image looks like.
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'NVIDIA L4, 23034'\n")
    program.chmod(0o755)
    for number in (1, 2):
        console.submit(f"job-{number}", waves())
    worker = start_worker(
        "w-1", "--device=auto", PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}", CUDA_VISIBLE_DEVICES="0"
    )
    assert worker.end() == 69
    (outcome,) = console.all(Outcome)
    assert (outcome.outcome, outcome.exit_code) == (OutcomeClass.RELEASE, 69)
    assert "the GPU does not work" in outcome.problems[0].what
    assert console.all(LeaseRequest)[0].gpus[0].name == "NVIDIA L4"
    assert len(console.waiting) == 1
