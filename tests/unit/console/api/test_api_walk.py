"""The walk of a job, as a person and a worker see it: upload, submit, lease, publish, end, download."""

from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from lorafleet.contracts import layout, paths
from lorafleet.contracts.jobs import DatasetFiles, Grants, Head, HeartbeatReply, Lease
from tests.unit.console.api.running_console import API, PICTURES, HttpWorker, RunningConsole, new_dataset, new_job

MakeWorker = Callable[..., HttpWorker]


def test_a_job_from_upload_to_download(console: RunningConsole, worker: MakeWorker) -> None:
    admin = console.admin
    dataset, version = new_dataset(admin)
    job = new_job(admin, dataset)
    assert job["state"] == "waiting"
    assert job["version"] == version
    one = worker().leased()
    lease = Lease.model_validate(one.lease)
    assert lease.job.id == job["id"]
    assert lease.fence == 1
    files = DatasetFiles.model_validate(one.say(paths.DATASET).json()).files
    assert {item.key.rpartition("/")[2] for item in files} >= {"metadata.csv"}
    asked = one.say(paths.GRANTS, method="GET", objects=[{"key": item.key} for item in files])
    grants = Grants.model_validate(asked.json()).grants
    assert {grant.store for grant in grants} == {"local", "backup"}
    for grant in grants:
        assert httpx.get(grant.url.get_secret_value()).status_code == 200
    reply = HeartbeatReply.model_validate(one.heartbeat().json())
    assert reply.order == "continue"
    now = datetime.now(UTC).isoformat()
    told = one.say(paths.PROGRESS, step=5, total_steps=10, seconds_left=3.0, metrics={"loss": 0.5}, sent_at=now)
    assert told.status_code == 204
    assert one.say(paths.LOG, first=0, lines=["step 5", "step 6"]).status_code == 204
    sample = one.write(layout.sample_object(one.job, one.fence, 5, "0.png"), next(iter(PICTURES.values())))
    assert one.say(paths.SAMPLE, step=5, prompt="a city", object=sample).status_code == 204
    assert one.publish(5).status_code == 204
    assert one.succeed(b"the lora").status_code == 204

    ended = admin.get(f"{API}/jobs/{one.job}").json()
    assert (ended["state"], ended["published_step"], ended["loss"]) == ("succeeded", 5, 0.5)
    assert admin.get(f"{API}/jobs/{one.job}/log").json()["lines"] == ["step 5", "step 6"]
    assert [row["step"] for row in admin.get(f"{API}/jobs/{one.job}/checkpoints").json()] == [5]
    assert [row["state"] for row in admin.get(f"{API}/jobs/{one.job}/attempts").json()] == ["succeeded"]
    kinds = [row["kind"] for row in admin.get(f"{API}/jobs/{one.job}/events").json()]
    assert kinds[:2] == ["submitted", "leased"]
    assert {"started", "progress", "log", "sample", "checkpoint", "ended"} <= set(kinds)
    (output,) = ended["outputs"]
    got = admin.get(f"{API}/jobs/{one.job}/outputs/{output['name']}")
    assert got.content == b"the lora"
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]
    seen = admin.get(f"{API}/jobs/{one.job}/samples/1/5/0.png")
    assert (seen.status_code, seen.headers["content-type"]) == (200, "image/png")
    for store in ("local", "backup"):
        head = Head.model_validate_json((console.directory / "stores" / store / layout.head(one.job)).read_bytes())
        assert (head.step, head.fence, set(head.stores)) == (5, 1, {"local", "backup"})
