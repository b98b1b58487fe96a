"""Running one fault: the unchanged generated pipelines, a real Orca, two real clusters, and a console."""

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafleet.contracts.image import digest12
from lorafleet.contracts.release import ReleaseState
from pipelines.compile import compile_fleet
from pipelines.patterns.parameters import IMAGE_DIGEST, RELEASE, TOKEN
from pipelines.releasing import registration
from tests.engines.delivery import fleet
from tests.engines.delivery.clocks import Clocks, Record
from tests.engines.delivery.console import Console, Traffic
from tests.engines.delivery.faults import Fault, Kind, Workers
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.kubernetes.faults import Failure
from tests.engines.kubernetes.faults import Fault as PodFault
from tests.engines.orca.engine import ENDED, Execution, OrcaEngine, told

_CHANGES: Mapping[Kind, dict[str, Any]] = {
    Kind.APPROVAL_REFUSED: {"approvals": [{"before": "promote", "timeout": "5m"}]},
    Kind.PROMETHEUS_GONE: {
        "monitor": {"metricsAccount": "prometheus-prod", "queries": {"xidErrors": "sum(increase(DCGM_FI_DEV_XID_ERRORS[1m]))"}},
        "rollback": {"conditions": ["errorRate > 5%", "latency > 2s", "xidErrors > 0"]},
    },
}

_WORKERS = "app.kubernetes.io/component=worker,app.kubernetes.io/part-of={},lorafleet/release={}"


@dataclass(frozen=True)
class Ended:
    """How a trial ended. ``release`` and ``rollback`` are the executions; ``workers`` stand in each site."""

    release: Execution
    rollback: Execution | None
    state: ReleaseState
    reason: str
    workers: Mapping[str, Workers | None]
    clocks: Clocks

    def told(self) -> str:
        """For people, when it is not as expected."""
        parts = [
            told(self.release),
            *([told(self.rollback)] if self.rollback else []),
            f"release {self.state}: {self.reason}",
            str(self.workers),
        ]
        return "\n".join(parts)


class Trial:
    """One fault in an application and a namespace of its own, so that trials do not see each other.

    ``held``: one attempt of the candidate in the fault's site goes on until it is told to stop, for the clock of the leases.
    """

    def __init__(self, fault: Fault, orca: OrcaEngine, console: Console, sites: Mapping[str, Cluster], held: bool = False) -> None:
        self._fault = fault
        self._held = held
        self._orca = orca
        self._console = console
        self._sites = sites
        self.application = re.sub(r"[^a-z0-9]+", "-", f"t {fault.name}".lower()).strip("-")
        self.digest = console.new_image(f"{self.application} {time.monotonic_ns()}")
        self._share_zero_at: float | None = None
        self._gone_at: float | None = None

    def run(self) -> Ended:
        """Release, break, and wait for the end of everything."""
        namespace = self.application
        for cluster in self._sites.values():
            fleet.furnish(cluster, namespace, self.application)
        changes = _CHANGES.get(self._fault.kind, {})
        spec = fleet.spec(self.application, self._console.url, **changes)
        registries = self._console.registries
        facts = {
            name: fleet.site(cluster, namespace, registries.get(name, "registry.lorafleet.test/example"))
            for name, cluster in self._sites.items()
        }
        delivery = compile_fleet(spec, facts)
        pipelines = {pipeline.name: pipeline.to_json() for pipeline in delivery.pipelines}
        for pipeline in pipelines.values():
            self._orca.front50.save(pipeline)
        self._before()
        ticket = self._console.register(registration(spec, self.digest))
        given = {IMAGE_DIGEST: self.digest, RELEASE: ticket.release, TOKEN: ticket.token.get_secret_value()}
        execution = self._orca.submit(pipelines["release"], given)
        ended = threading.Event()
        looking = [
            threading.Thread(target=self._look_for_pods, args=(ended,), daemon=True),
            threading.Thread(target=self._look_for_the_share, args=(ticket.release, ended), daemon=True),
        ]
        for each in looking:
            each.start()
        try:
            self._during(execution)
            release = self._orca.wait(execution, self._fault.seconds)
            rollback = self._rollback() if self._fault.expected.rollback else None
        finally:
            ended.set()
            for each in looking:
                each.join()
            self._after()
        told = self._console.told_at(self.digest)
        clocks = Record(self._console.ledger, ticket.release).clocks(self._share_zero_at, told, self._gone_at)
        workers = {site: self._standing(site) for site in self._sites}
        state, reason = self._console.state(ticket.release), self._console.reason(ticket.release)
        return Ended(release, rollback, state, reason, workers, clocks)

    def _before(self) -> None:
        fault = self._fault
        match fault.kind:
            case Kind.SMOKE_CRASH:
                self._sites[fault.site].break_pods(self._crash())
            case Kind.ERROR_RATE:
                self._console.has_traffic(self.digest, fault.site, Traffic(error_rate=fault.level, held=self._held))
            case Kind.LATENCY:
                self._console.has_traffic(self.digest, fault.site, Traffic(latency=fault.level, held=self._held))
            case Kind.NO_SAMPLES:
                self._console.has_traffic(self.digest, fault.site, Traffic(a_second=0))
            case Kind.SITE_API_GONE:
                self._sites[fault.site].api_hangs()
                self._console.loses_signature(self.digest, fault.site)
            case Kind.IMAGE_MISSING:
                self._console.loses_image(self.digest, fault.site)

    def _during(self, execution: str) -> None:
        watch = f"watch-{self._fault.site}_1"
        match self._fault.kind:
            case Kind.APPROVAL_REFUSED:
                self._orca.wait_for_stage(execution, "approve-promote-1", "RUNNING", self._fault.seconds)
                self._orca.judge(execution, "approve-promote-1", "stop")
            case Kind.CONSOLE_GONE:
                self._orca.wait_for_stage(execution, watch, "RUNNING", self._fault.seconds)
                self._console.refuse()
                time.sleep(20)
                self._console.listen()
            case Kind.ORCA_KILLED:
                self._orca.wait_for_stage(execution, watch, "RUNNING", self._fault.seconds)
                self._orca.kill()
                self._orca.restart()
            case Kind.CANCELLED:
                self._orca.wait_for_stage(execution, watch, "RUNNING", self._fault.seconds)
                self._orca.cancel(execution)

    def _after(self) -> None:
        if self._fault.kind is Kind.SITE_API_GONE:
            self._sites[self._fault.site].api_answers_again()
        if self._fault.kind is Kind.SMOKE_CRASH:
            self._sites[self._fault.site].mend_pods(self._crash())

    def _crash(self) -> PodFault:
        return PodFault(self.application, Failure.CRASHES, image_ends=self.digest)

    def _rollback(self) -> Execution | None:
        """The run of the pipeline *rollback*, ended if it ends within two minutes; None if there is none."""
        until = time.monotonic() + 120
        while True:
            found = [each for each in self._orca.list(self.application) if each["name"] == "rollback"]
            if (found and found[0]["status"] in ENDED) or time.monotonic() > until:
                return found[0] if found else None
            time.sleep(0.5)

    def _look_for_the_share(self, release: str, ended: threading.Event) -> None:
        """Note when the console was first seen to give the candidate nothing any more."""
        while not ended.wait(0.25):
            if self._console.state(release) is ReleaseState.ROLLED_BACK:
                self._share_zero_at = time.monotonic()
                return

    def _look_for_pods(self, ended: threading.Event) -> None:
        """Note when the candidate's last pod was seen to be gone."""
        selector = _WORKERS.format(self.application, digest12(self.digest))
        reached = [
            cluster for name, cluster in self._sites.items() if (name, self._fault.kind) != (self._fault.site, Kind.SITE_API_GONE)
        ]
        seen = False
        while not ended.wait(0.5):
            if any(cluster.pods(self.application, selector) for cluster in reached):
                seen, self._gone_at = True, None
            elif seen and self._gone_at is None:
                self._gone_at = time.monotonic()

    def _standing(self, site: str) -> Workers | None:
        found = self._sites[site].get("deployment", self.application, f"app.kubernetes.io/part-of={self.application}")
        names = {each["metadata"]["name"] for each in found}
        new, old = f"trainer-{digest12(self.digest)}", f"trainer-{digest12(fleet.OLD)}"
        if names == {new}:
            return Workers.NEW
        return Workers.OLD if names == {old} else None
