"""Many jobs and a fleet that fails all the time: every job ends once, and no lease writes after the next one began."""

import random
from collections import Counter
from dataclasses import dataclass

from console_actors import GRACE, LIFETIME, Actors, checkpoint, ending
from console_databases import Clock
from sqlalchemy import text

from lorafleet.console.domain.refusals import Fenced
from lorafleet.console.store.ledger import SqlLedger, open_ledger
from lorafleet.contracts.jobs import Heartbeat, LeaseRequest, Phase
from lorafleet.contracts.outcomes import OutcomeClass

WORKERS = 250
AT_ONCE = 500


@dataclass
class Worker:
    """Has at most one lease it believes in; ``silent`` until then it hears and sends nothing."""

    request: LeaseRequest
    job: str = ""
    fence: int = 0
    silent: float = 0


class Simulation:
    """Rounds of five seconds. All chances come from one seed."""

    def __init__(self, ledger: SqlLedger, clock: Clock, jobs: int, seed: int) -> None:
        self.ledger, self.clock, self.jobs = ledger, clock, jobs
        self.actors = Actors(ledger, clock)
        self.chance = random.Random(seed)
        self.workers = [Worker(self.actors.request(("aws", "gcp")[number % 2], f"w{number}")) for number in range(WORKERS)]
        self.newest: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()

    def round(self) -> None:
        self.clock.advance(5)
        self.ledger.dispatcher.expire(GRACE)
        awake = [worker for worker in self.workers if worker.silent <= self.clock.at.timestamp()]
        idle = [worker for worker in awake if not worker.job]
        for worker, answer in zip(idle, self.ledger.dispatcher.lease_many([each.request for each in idle], LIFETIME), strict=True):
            if answer is None:
                continue
            job, fence = answer[0].id, answer[1]
            assert fence > self.newest.get(job, 0)
            self.newest[job] = fence
            if self.chance.random() < 0.02:
                # The answer is lost on the way: nobody trains under this lease.
                self.seen["lost answer"] += 1
                continue
            worker.job, worker.fence = job, fence
        for worker in awake:
            if worker.job:
                self.act(worker)

    def act(self, worker: Worker) -> None:
        dice = self.chance.random()
        if dice < 0.05:
            # It falls silent, some for so long that another has the job when it speaks again.
            worker.silent = self.clock.at.timestamp() + self.chance.choice([10, 40, 120])
            return
        if dice < 0.08:
            self.say(worker, "heartbeat")
        elif dice < 0.14:
            self.say(worker, "checkpoint")
        elif dice < 0.2:
            self.end(worker, self.chance.choice([OutcomeClass.PREEMPTED, OutcomeClass.INFRASTRUCTURE, OutcomeClass.RELEASE]))
        else:
            self.end(worker, OutcomeClass.SUCCEEDED)

    def end(self, worker: Worker, outcome: OutcomeClass) -> None:
        message = ending(worker.job, worker.fence, outcome)
        taken = self.take(worker, lambda: self.ledger.dispatcher.outcome(message, ["aws-store"]))
        if taken and outcome is OutcomeClass.SUCCEEDED:
            self.done[worker.job] += 1
        if self.chance.random() < 0.05:
            # The answer was lost; it says so again, perhaps long after.
            worker.silent = self.clock.at.timestamp() + self.chance.choice([0, 100])
            return
        worker.job = ""

    def say(self, worker: Worker, what: str) -> None:
        job, fence = worker.job, worker.fence
        if what == "heartbeat":
            message = Heartbeat(job=job, fence=fence, sequence=0, phase=Phase.TRAINING, sent_at=self.clock.at)
            self.take(worker, lambda: self.ledger.dispatcher.heartbeat(message, LIFETIME))
        else:
            self.take(worker, lambda: self.ledger.dispatcher.checkpoint(checkpoint(job, fence, 10 * fence)))

    def take(self, worker: Worker, send: object) -> bool:
        """Whether the message was the first of its kind that was taken."""
        again = worker.fence != self.newest[worker.job]
        try:
            send()  # type: ignore[operator]
        except Fenced:
            self.seen["fenced"] += 1
            worker.job = ""
            return False
        if again:
            self.seen["repeated"] += 1
            return False
        return self.done[worker.job] == 0

    def run(self) -> None:
        submitted = 0
        while submitted < self.jobs or self.open_jobs():
            for _ in range(min(AT_ONCE, self.jobs - submitted)):
                self.actors.submit()
                submitted += 1
            self.round()

    def open_jobs(self) -> int:
        with self.ledger._database.read() as transaction:
            return transaction.number(text("SELECT count(*) FROM jobs WHERE state IN ('waiting', 'running')"))


def simulate(url: str, jobs: int) -> None:
    """Run it on an empty database and look at what is left."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    clock = Clock()
    ledger = open_ledger(url, clock=clock)
    simulation = Simulation(ledger, clock, jobs, seed)
    simulation.run()
    with ledger._database.read() as transaction:
        states = {
            row["state"]: row["count"] for row in transaction.all(text("SELECT state, count(*) AS count FROM jobs GROUP BY state"))
        }
        wrong = {
            "succeeded without one attempt that did": "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND 1 <> "
            "(SELECT count(*) FROM attempts WHERE job = jobs.id AND attempts.state = 'succeeded')",
            "success of another lease than the newest": "SELECT count(*) FROM attempts JOIN jobs ON jobs.id = job "
            "WHERE attempts.state = 'succeeded' AND attempts.fence <> jobs.fence",
            "a live attempt of a finished job": "SELECT count(*) FROM attempts WHERE ended_at IS NULL",
            "published after a newer lease began": "SELECT count(*) FROM checkpoints JOIN attempts AS later ON later.job = checkpoints.job "
            "AND later.fence = checkpoints.fence + 1 WHERE checkpoints.published_at > later.leased_at",
            "started behind what was published": "SELECT count(*) FROM attempts JOIN checkpoints ON checkpoints.job = attempts.job "
            "WHERE checkpoints.published_at < attempts.leased_at AND attempts.start_step < checkpoints.step",
        }
        found = {what: count for what, statement in wrong.items() if (count := transaction.number(text(statement)))}
    ledger.close()
    assert found == {}
    assert sum(states.values()) == jobs
    assert set(states) <= {"succeeded", "failed"}
    assert states["succeeded"] > 0.98 * jobs
    assert max(simulation.done.values()) == 1
    assert len(simulation.done) == states["succeeded"]
    # The faults did happen.
    assert simulation.seen["fenced"] > jobs / 200
    assert simulation.seen["lost answer"] > jobs / 200
