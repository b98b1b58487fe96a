"""The trainer's own image as a Pod on a real kubelet, with the manifest that the pipelines generate: from a lease to finished weights.

There is no GPU behind the one that the node says it has: the worker finds none and trains on the processor.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorafleet.client.client import Client
from lorafleet.client.collect import collect
from lorafleet.contracts.console_api import EventView, NewJob
from lorafleet.contracts.job_states import JobState
from lorafleet.demo.photographs import write_photographs
from pipelines.manifests.pod import USER
from tests.engines.image.builds import Builds
from tests.engines.node import node
from tests.engines.node.trainer_site import NAMESPACE, TrainerSite
from trainer.proof import load_in_diffusers, same_weights
from trainer.tiny.stable_diffusion import TinyBase, make_sd15

SAVE_STEPS = 10
STEPS = 4 * SAVE_STEPS

_missing = node.missing()
pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(bool(_missing), reason=f"no Kubernetes node can run here: {_missing}"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerSite]:
    folder = tmp_path_factory.mktemp("site")
    for each in (folder, *folder.parents[:2]):
        # Containers' users come through here to what is theirs.
        each.chmod(0o711)
    (folder / "builds").mkdir()
    builds = Builds(folder / "builds")
    site = TrainerSite(folder, builds, str(builds.build("trainer")["image"]), str(builds.build("console")["image"]))
    try:
        yield site.start()
    finally:
        site.stop()


@pytest.fixture(scope="module")
def base(site: TrainerSite) -> TinyBase:
    """On the shared volume, where base models lie; nobody's to write."""
    made = make_sd15(site.shared / "tiny")
    # safetensors writes files that only their owner reads.
    made.checkpoint.chmod(0o644)
    return made


@pytest.fixture(scope="module")
def client(site: TrainerSite) -> Iterator[Client]:
    with site.console.client() as client:
        yield client


@pytest.fixture
def worker(site: TrainerSite) -> TrainerSite:
    """The site with its Deployment as generated: one worker, which is ready."""
    site.deploy(site.deployment())
    return site


@dataclass(frozen=True)
class Submitted:
    """A job, and what happened to it."""

    id: str
    events: list[EventView]

    def of(self, kind: str) -> list[EventView]:
        return [event for event in self.events if event.kind == kind]


Submit = Callable[..., Submitted]


@pytest.fixture(scope="module")
def submit(client: Client, base: TinyBase, tmp_path_factory: pytest.TempPathFactory) -> Submit:
    """Submits a job on ten photographs and watches it to its end, or until ``meanwhile`` says that it has seen enough."""
    dataset = client.create_dataset("photographs")
    version = client.upload(dataset.id, collect([write_photographs(tmp_path_factory.mktemp("photographs"))]))

    def submit(meanwhile: Callable[[EventView], object] = lambda event: None, **more: Any) -> Submitted:
        training = {
            "base_model": f"tiny/{base.checkpoint.name}",
            "base_config": f"tiny/{base.config.name}",
            "resolution": 128,
            "bucket_step": 32,
            "lora_rank": 4,
            "batch_size": 2,
            "epochs": STEPS,
            "max_steps": STEPS,
            "save_steps": SAVE_STEPS,
            "learning_rate": 1e-3,
            "log_every": 1,
            "seed": 3,
            **more,
        }
        job = client.submit(NewJob(name="photographs", dataset=dataset.id, version=version.version, training=training))
        found = Submitted(job.id, [])
        for event in client.watch(job.id):
            found.events.append(event)
            if meanwhile(event):
                return found
        view = client.job(job.id)
        assert view.state is JobState.SUCCEEDED, f"{view.problems}\n{client.log(job.id)}"
        return found

    return submit


@pytest.fixture(scope="module")
def undisturbed(site: TrainerSite, submit: Submit) -> Submitted:
    """A job that nothing happened to: while it trained, the probes found the worker live and ready."""
    site.deploy(site.deployment())
    before = site.pod()["status"]["containerStatuses"]
    job = submit()
    assert site.pod()["status"]["containerStatuses"] == before
    return job


def download(client: Client, job: Submitted, folder: Path) -> Path:
    """Its weights, from the console."""
    (name,) = [item.name for item in client.job(job.id).outputs if item.name.endswith(".safetensors")]
    folder.mkdir()
    client.download(job.id, name, folder / name)
    return folder / name


def test_from_lease_to_finished_weights(
    site: TrainerSite, undisturbed: Submitted, client: Client, base: TinyBase, tmp_path: Path
) -> None:
    (attempt,) = client.attempts(undisturbed.id)
    assert attempt.worker.startswith(site.deployment()["metadata"]["name"])
    assert [event.values["step"] for event in undisturbed.of("checkpoint")][:2] == [SAVE_STEPS, 2 * SAVE_STEPS]
    assert load_in_diffusers(base.checkpoint, base.config, download(client, undisturbed, tmp_path / "weights")) > 0


def test_it_runs_by_digest_and_may_do_nothing_that_it_need_not(worker: TrainerSite) -> None:
    pod = worker.pod()
    (status,) = pod["status"]["containerStatuses"]
    assert status["imageID"].endswith(f"@{worker.digest}")
    script = (
        "import json, os, lorafleet, trainer\n"
        "status = dict(line.split(':', 1) for line in open('/proc/1/status'))\n"
        "print(json.dumps({\n"
        "  'user': os.getuid(), 'groups': os.getgroups(), 'code': [lorafleet.__file__, trainer.__file__],\n"
        "  'first': status['Name'].strip(), 'capabilities': int(status['CapEff'], 16),\n"
        "  'privileges': status['NoNewPrivs'].strip(), 'seccomp': status['Seccomp'].strip(),\n"
        "  'root': os.statvfs('/').f_flag & os.ST_RDONLY, 'account': os.path.exists('/var/run/secrets/kubernetes.io'),\n"
        "  'writable': [path for path in ('/', '/opt/lorafleet', '/tmp', '/scratch', '/shared', '/dev/shm') if os.access(path, os.W_OK)],\n"
        "  'credential': oct(os.stat('/var/run/lorafleet/credential').st_mode & 0o7777),\n"
        "}))\n"
    )
    assert json.loads(worker.execute("python", "-c", script)) == {
        "user": USER,
        "groups": [USER],
        "code": ["/opt/lorafleet/code/lorafleet/__init__.py", "/opt/lorafleet/code/trainer/__init__.py"],
        "first": "tini",
        "capabilities": 0,
        "privileges": "1",
        "seccomp": "2",
        "root": os.ST_RDONLY,
        "account": False,
        "writable": ["/tmp", "/scratch", "/shared", "/dev/shm"],
        "credential": "0o440",
    }


def test_the_namespace_takes_no_pod_that_may_do_more(worker: TrainerSite) -> None:
    spec = worker.deployment()["spec"]["template"]["spec"]
    del spec["containers"][0]["securityContext"]["capabilities"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other", "namespace": NAMESPACE}, "spec": spec}
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        worker.node.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_a_pod_that_is_deleted_and_a_container_that_is_killed_lose_nothing(
    worker: TrainerSite, submit: Submit, undisturbed: Submitted, client: Client, tmp_path: Path
) -> None:
    first = worker.pod()["metadata"]["name"]
    disturbed: set[int] = set()

    def disturb(event: EventView) -> None:
        if event.kind != "checkpoint" or event.fence in disturbed:
            return
        disturbed.add(event.fence)
        if event.fence == 1:
            worker.node.kubectl("delete", "pod", first, "-n", NAMESPACE, "--wait=false")
        elif event.fence == 2:
            worker.kill_worker()

    job = submit(disturb)
    weights = download(client, job, tmp_path / "weights")
    deleted, killed, last = client.attempts(job.id)
    leased = {event.fence: event.values["step"] for event in job.of("leased")}
    published = {fence: [event.values["step"] for event in job.of("checkpoint") if event.fence == fence] for fence in (1, 2)}

    # Deleted: it was told to end, saved the step that it was at, and handed the job back.
    (ended,) = [event for event in job.of("ended") if event.fence == 1]
    assert ended.values["outcome"] == "preempted"
    assert "SIGTERM" in ended.values["problems"][0]["what"]
    assert published[1][-1] >= SAVE_STEPS
    assert leased[2] == published[1][-1]
    assert (deleted.worker, killed.worker != first) == (first, True)

    # Killed: nothing was said. The lease ran out, and the same pod's next container goes on from what was published.
    assert [event.fence for event in job.of("lost")] == [2]
    assert leased[3] == published[2][-1] > leased[2]
    assert last.worker == killed.worker
    (status,) = worker.pod()["status"]["containerStatuses"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 137

    assert same_weights(weights, download(client, undisturbed, tmp_path / "undisturbed"))


def test_out_of_memory_is_the_machines_fault_and_the_worker_lives_on(site: TrainerSite, submit: Submit, client: Client) -> None:
    deployment = site.deployment()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for kind in ("requests", "limits"):
        container["resources"][kind]["memory"] = "1Gi"
    site.deploy(deployment)
    job = submit(lambda event: event.kind == "ended", resolution=512, bucket_step=64, batch_size=8)
    client.cancel(job.id)
    (ended,) = job.of("ended")
    assert ended.values["outcome"] == "infrastructure"
    assert "SIGKILL" in ended.values["problems"][0]["what"]
    assert "memory" in ended.values["problems"][0]["hint"]
    assert re.search(r"^oom_kill [1-9]", site.execute("cat", "/sys/fs/cgroup/memory/memory.oom_control"), re.MULTILINE)
    (status,) = site.pod()["status"]["containerStatuses"]
    assert status["restartCount"] == 0
