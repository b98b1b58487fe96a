"""Whoever speaks to the store in its tests: a person with a data set, and workers."""

from datetime import timedelta
from typing import Any

from console_databases import Clock

from lorafleet.console.domain.records import CheckpointRecord, JobRecord, SiteRecord, Submission
from lorafleet.console.store.ledger import SqlLedger
from lorafleet.contracts import layout
from lorafleet.contracts.jobs import (
    CheckpointPublished,
    GpuSlot,
    Heartbeat,
    HeartbeatReply,
    Job,
    LeaseRequest,
    Outcome,
    Phase,
    Progress,
    PublishedObject,
    ReportedProblem,
)
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.release_api import Registration, ReleaseView, Watch

STABLE = "sha256:" + "5" * 64
CANDIDATE = "sha256:" + "c" * 64
LIFETIME = timedelta(seconds=30)
GRACE = timedelta(seconds=20)
TRAINING = {"base_model": "base", "max_steps": 100}
EXIT_CODES = {
    OutcomeClass.SUCCEEDED: 0,
    OutcomeClass.RELEASE: 1,
    OutcomeClass.USER: 65,
    OutcomeClass.INFRASTRUCTURE: 74,
    OutcomeClass.CANCELLED: 130,
    OutcomeClass.PREEMPTED: 75,
}


def some_object(key: str) -> PublishedObject:
    return PublishedObject(key=key, size=3, sha256="ab" * 32)


class Actors:
    """A small fleet: sites ``aws`` and ``gcp`` with a store each, a stable release, team ``red`` with a data set in both stores."""

    def __init__(self, ledger: SqlLedger, clock: Clock, sites: tuple[str, ...] = ("aws", "gcp")) -> None:
        self.ledger, self.clock, self.sites = ledger, clock, sites
        for site in sites:
            ledger.dispatcher.put_site(SiteRecord(site, "local", "here", f"{site}-store"))
        ledger.releases.set_stable("trainer", STABLE, sites)
        self.dataset = self.new_dataset("red", tuple(f"{site}-store" for site in sites))

    def new_dataset(self, team: str, stores: tuple[str, ...], name: str = "cyberpunk") -> str:
        made = self.ledger.datasets.create(team, name, "images", "someone")
        self.ledger.datasets.add_version(team, made.id, "v1", [some_object("images/1.png")], 1, {}, stores, "someone")
        return made.id

    def submit(self, name: str = "neon", team: str = "red", dataset: str = "", **more: Any) -> JobRecord:
        return self.ledger.jobs.submit(team, Submission(name, dataset or self.dataset, "v1", TRAINING, **more), "someone")

    def request(self, site: str = "aws", worker: str = "w1", digest: str = STABLE, gpus: tuple[int, ...] = ()) -> LeaseRequest:
        slots = tuple(GpuSlot(name="GPU", memory_mib=memory) for memory in gpus)
        return LeaseRequest(site=site, worker=worker, release=digest, gpus=slots)

    def lease(
        self, site: str = "aws", worker: str = "w1", digest: str = STABLE, gpus: tuple[int, ...] = ()
    ) -> tuple[Job, int] | None:
        found = self.ledger.dispatcher.lease(self.request(site, worker, digest, gpus), LIFETIME)
        return None if found is None else (found[0], found[1])

    def started(self, site: str = "aws", worker: str = "w1", digest: str = STABLE) -> tuple[str, int]:
        """A lease whose training process has sent its first heartbeat: the job's id and the fence."""
        found = self.lease(site, worker, digest)
        assert found is not None, "nothing to lease"
        self.beat(found[0].id, found[1])
        return found[0].id, found[1]

    def beat(self, job: str, fence: int, step: int = 0, phase: Phase = Phase.TRAINING) -> HeartbeatReply:
        message = Heartbeat(job=job, fence=fence, sequence=0, phase=phase, step=step, sent_at=self.clock())
        return self.ledger.dispatcher.heartbeat(message, LIFETIME)

    def progress(self, job: str, fence: int, step: int, loss: float = 0.5) -> Progress:
        return Progress(
            job=job, fence=fence, step=step, total_steps=100, seconds_left=9, metrics={"loss": loss}, sent_at=self.clock()
        )

    def publish(self, job: str, fence: int, step: int, digest: str = STABLE) -> CheckpointRecord:
        return self.ledger.dispatcher.checkpoint(checkpoint(job, fence, step, digest))

    def end(self, job: str, fence: int, outcome: OutcomeClass, step: int = 0, what: str = "") -> JobRecord:
        return self.ledger.dispatcher.outcome(ending(job, fence, outcome, step, what), ["aws-store", "gcp-store"])

    def register(self, digest: str = CANDIDATE, **more: Any) -> ReleaseView:
        sites = [
            {"site": site, "strategy": "canary", "target_size": 2, "first_share": more.pop("first_share", "100%")}
            for site in more.pop("sites", self.sites)
        ]
        values = {
            "application": "trainer", "image": "registry.example/trainer", "digest": digest, "sites": sites,
            "conditions": ["errorRate > 5%", "latency > 2s"], "min_samples": 2, **more,
        }  # fmt: skip
        return self.ledger.releases.register(Registration.model_validate(values), "ci")

    def candidate(self, watch: bool = True, **more: Any) -> str:
        """A release with its first share in every site, watched there; its id."""
        view = self.register(**more)
        for site in view.release.sites:
            self.ledger.releases.set_share(view.id, site.site, 1)
            if watch:
                self.ledger.releases.start_watch(view.id, site.site, Watch(seconds=60, deadline=300))
        assert self.ledger.releases.get(view.id).release.state is ReleaseState.WATCHING
        return view.id


def checkpoint(job: str, fence: int, step: int, digest: str = STABLE, size: int = 3) -> CheckpointPublished:
    key = layout.step_object(job, fence, step, "state.safetensors")
    objects = (PublishedObject(key=key, size=size, sha256="ab" * 32),)
    return CheckpointPublished(
        job=job, fence=fence, step=step, release=digest, format_version=1, objects=objects, stores=("aws-store", "gcp-store")
    )


def ending(job: str, fence: int, outcome: OutcomeClass, step: int = 0, what: str = "") -> Outcome:
    outputs = (some_object(layout.output_object(job, fence, "lora.safetensors")),) if outcome is OutcomeClass.SUCCEEDED else ()
    problems = (ReportedProblem(what=what),) if what else ()
    return Outcome(
        job=job, fence=fence, outcome=outcome, exit_code=EXIT_CODES[outcome], step=step, problems=problems, outputs=outputs
    )
