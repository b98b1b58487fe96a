"""kill -9 of a console where something just became durable, on whichever database ``serve`` starts it with."""

import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lorafleet.console.failpoints import Failpoint
from lorafleet.contracts import paths
from tests.unit.console.api.console_process import ConsoleProcess, Serve
from tests.unit.console.api.running_console import API, new_job, new_text_set


def gone(call: Callable[[], Any]) -> bool:
    try:
        call()
    except httpx.TransportError:
        return True
    return False


def killed(console: ConsoleProcess) -> None:
    console.process.join(20)
    assert console.process.exitcode == -signal.SIGKILL


class KillNine:
    """One test for each place; a module with a fixture ``serve`` derives its tests from it."""

    def test_kill_9_after_a_submission_loses_nothing_and_doubles_nothing(self, serve: Serve) -> None:
        dataset = new_text_set((console := serve(failpoint=Failpoint.SUBMIT_COMMITTED)).admin)
        body = {"name": "neon", "dataset": dataset, "training": {"base_model": "x"}}
        headers = {"Idempotency-Key": "k"}
        assert gone(lambda: console.admin.post(f"{API}/jobs", json=body, headers=headers))
        killed(console)
        again = serve()
        answer = again.admin.post(f"{API}/jobs", json=body, headers=headers)
        assert answer.status_code == 201
        assert [row["id"] for row in again.admin.get(f"{API}/jobs").json()["rows"]] == [answer.json()["id"]]

    @pytest.mark.parametrize("point", [Failpoint.DATASET_STORED, Failpoint.DATASET_COMMITTED])
    def test_kill_9_in_an_upload_leaves_a_whole_version_or_none(self, serve: Serve, point: Failpoint) -> None:
        console = serve(failpoint=point)
        assert gone(lambda: new_text_set(console.admin))
        killed(console)
        again = serve()
        (row,) = again.admin.get(f"{API}/datasets").json()["rows"]
        assert (row["version"] is not None) == (point is Failpoint.DATASET_COMMITTED)
        if row["version"] is not None:
            view = again.admin.get(f"{API}/datasets/{row['id']}/versions/{row['version']}").json()
            assert view["rows"] == 2
            for file in view["files"]:
                got = again.admin.get(f"{API}/datasets/{row['id']}/versions/{row['version']}/files/{file['name']}")
                assert len(got.content) == file["size"]
        more = [("files", ("b.jsonl", b'{"text": "more"}'))]
        assert again.admin.post(f"{API}/datasets/{row['id']}/uploads", files=more).status_code == 201

    @pytest.mark.parametrize("point", [Failpoint.LEASE_COMMITTED, Failpoint.LEASE_BOUND])
    def test_kill_9_after_a_lease_gives_the_job_to_another(self, serve: Serve, point: Failpoint) -> None:
        console = serve("--lease-seconds", "1", "--grace-seconds", "0", failpoint=point)
        dataset = new_text_set(console.admin)
        job = new_job(console.admin, dataset)["id"]
        assert gone(lambda: console.worker().leased())
        killed(console)
        again = serve("--lease-seconds", "1", "--grace-seconds", "0")
        second = again.worker("worker-2").leased()
        assert (second.job, second.fence) == (job, 2)
        assert [row["state"] for row in again.admin.get(f"{API}/jobs/{job}/attempts").json()] == ["lost", "leased"]

    @pytest.mark.parametrize(
        ("point", "published"),
        [(Failpoint.HEARTBEAT_COMMITTED, None), (Failpoint.CHECKPOINT_VERIFIED, None), (Failpoint.CHECKPOINT_COMMITTED, 4)],
    )
    def test_kill_9_round_a_checkpoint(self, serve: Serve, point: Failpoint, published: int | None) -> None:
        console = serve()
        dataset = new_text_set(console.admin)
        job = new_job(console.admin, dataset)["id"]
        worker = console.worker().leased()
        console.stop()
        crashing = serve("--port", console.port, failpoint=point)
        worker.console = crashing
        assert gone(lambda: worker.heartbeat() and worker.publish(4))
        killed(crashing)
        again = serve("--port", console.port)
        assert again.admin.get(f"{API}/jobs/{job}").json()["published_step"] == published
        # The worker knows nothing of it and says the same again.
        assert worker.heartbeat(1).status_code == 200
        assert worker.publish(4).status_code == 204
        assert [row["step"] for row in again.admin.get(f"{API}/jobs/{job}/checkpoints").json()] == [4]
        assert worker.succeed().status_code == 204

    @pytest.mark.parametrize(
        ("point", "state"), [(Failpoint.OUTCOME_VERIFIED, "running"), (Failpoint.OUTCOME_COMMITTED, "succeeded")]
    )
    def test_kill_9_round_an_outcome(self, serve: Serve, point: Failpoint, state: str) -> None:
        console = serve(failpoint=point)
        dataset = new_text_set(console.admin)
        job = new_job(console.admin, dataset)["id"]
        worker = console.worker().leased()
        worker.heartbeat()
        assert gone(worker.succeed)
        killed(console)
        again = serve("--port", console.port)
        assert again.admin.get(f"{API}/jobs/{job}").json()["state"] == state
        said = worker.say(paths.OUTCOME, outcome="succeeded", exit_code=0, step=10, outputs=[worker.output])
        assert said.status_code == 204
        ended = again.admin.get(f"{API}/jobs/{job}").json()
        assert (ended["state"], len(ended["outputs"])) == ("succeeded", 1)

    def test_kill_9_after_a_cancel(self, serve: Serve) -> None:
        console = serve(failpoint=Failpoint.CANCEL_COMMITTED)
        dataset = new_text_set(console.admin)
        job = new_job(console.admin, dataset)["id"]
        assert gone(lambda: console.admin.post(f"{API}/jobs/{job}/cancel"))
        killed(console)
        assert serve().admin.post(f"{API}/jobs/{job}/cancel").json()["state"] == "cancelled"
