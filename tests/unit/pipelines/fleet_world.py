"""A console and clusters for the simulated Orca: shares, a guard, Deployments with labels. Failures are told by refId."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulated_orca import Orca

CONSOLE = "https://fleet.example.org/api/v1/releases/r1"
POLL = 15.0


def is_watch(stage: Mapping[str, Any]) -> bool:
    """Whether the console watches a site for it."""
    return stage["type"] == "webhook" and stage["url"].endswith("/watches")


@dataclass
class FleetWorld:
    """``fails``: these stages fail. ``breaches``: this long after a watch began a sample violates. ``slow``: seconds they take."""

    fails: frozenset[str] = frozenset()
    breaches: Mapping[str, float] = field(default_factory=dict)
    slow: Mapping[str, float] = field(default_factory=dict)
    unreachable: frozenset[str] = frozenset()
    console_gone: tuple[float, float] = (-1.0, -1.0)
    state: str = "preparing"
    shares: dict[str, int] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)
    breach_at: float | None = None
    zero_at: float | None = None
    gone_at: dict[str, float] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def workers(self, track: str) -> set[str]:
        """The accounts where Deployments of this track stand."""
        return {
            thing["account"]
            for thing in self.objects
            if thing["kind"] == "deployment" and thing["labels"].get("lorafleet/track") == track
        }

    def act(self, orca: Orca, stage: Mapping[str, Any]) -> tuple[float, bool] | None:
        ref, kind = stage["refId"], stage["type"]
        self.told += [one["message"]["stage.starting"]["text"] for one in stage.get("notifications", [])]
        if ref in self.fails:
            if kind == "deployManifest":
                self.apply(stage)
            return self.slow.get(ref, 1.0), False
        if kind == "webhook":
            return self.call(orca, stage)
        if stage.get("account") in self.unreachable:
            return None
        if kind == "wait":
            return stage["waitTime"], True
        if kind == "kayentaCanary":
            # It knows nothing of the console, and ends when it ends.
            return self.slow.get(ref, 60.0 * int(stage["canaryConfig"]["lifetimeDuration"][2:-1])), True
        if kind == "deployManifest":
            self.apply(stage)
        return self.slow.get(ref, 5.0), True

    def ended(self, orca: Orca, stage: Mapping[str, Any], well: bool) -> None:
        if stage["type"] == "deleteManifest" and well:
            before = self.workers("candidate")
            self.delete(stage)
            self.gone_at |= dict.fromkeys(before - self.workers("candidate"), orca.now)

    def apply(self, stage: Mapping[str, Any]) -> None:
        for manifest in stage["manifests"]:
            assert "${" not in str(manifest)
            kind = {"Deployment": "deployment", "ScaledObject": "ScaledObject.keda.sh"}[manifest["kind"]]
            key = (stage["account"], kind, manifest["metadata"]["name"])
            self.objects = [thing for thing in self.objects if thing["key"] != key]
            labels = manifest["metadata"]["labels"]
            self.objects.append({"key": key, "account": stage["account"], "kind": kind, "labels": labels})

    def delete(self, stage: Mapping[str, Any]) -> None:
        def selected(labels: Mapping[str, str]) -> bool:
            return all(
                (labels.get(one["key"]) in one["values"]) == (one["kind"] == "EQUALS")
                for one in stage["labelSelectors"]["selectors"]
            )

        self.objects = [
            thing
            for thing in self.objects
            if not (thing["account"] == stage["account"] and thing["kind"] in stage["kinds"] and selected(thing["labels"]))
        ]

    def call(self, orca: Orca, stage: Mapping[str, Any]) -> tuple[float, bool] | None:
        assert stage["customHeaders"]["Authorization"] == "Bearer t0k3n"
        if self.console_gone[0] <= orca.now < self.console_gone[1]:
            return 0.1, False
        path = stage["url"].removeprefix(CONSOLE)
        ref = stage["refId"]
        if site := re.fullmatch(r"/sites/([^/]+)/(\w+)", path):
            return self.site_call(orca, stage, *site.groups())
        if path == "/revoke":
            if self.state == "stable":
                return 0.1, False
            self.take_back(orca)
            self.state = "rolled_back"
            return 0.5, True
        if path == "/promote" and stage["method"] == "POST":
            # A site whose newest watch still runs has not passed.
            if self.state != "watching" or self.breach_at is not None or any(map(is_watch, orca.running())):
                return 0.1, False
            self.state = "promoting"
            self.shares = dict.fromkeys(self.shares, 10_000)
            self.later_end(orca, "hold", True)
            return 0.5, True
        if path == "/settle" and stage["method"] == "POST":
            if self.state != "promoting":
                return 0.1, False
            self.state = "stable"
            return 0.5, True
        if path == "" and self.breach_at is not None:
            return 0.5, False
        return None if path == "" else (self.slow.get(ref, 1.0), True)

    def site_call(self, orca: Orca, stage: Mapping[str, Any], site: str, what: str) -> tuple[float, bool] | None:
        ref = stage["refId"]
        over = self.state == "rolled_back" or self.breach_at is not None
        if what == "preflight":
            return self.slow.get(ref, 1.0), site not in self.unreachable
        if what == "fault":
            self.take_back(orca)
            return 0.5, True
        if over:
            return 0.1, False
        self.state = "watching" if self.state == "preparing" else self.state
        if what == "share":
            self.shares[site] = max(1, 1000 * stage["payload"]["step"])
            return 0.5, True
        for other in orca.running():
            if is_watch(other) and other["url"] == stage["url"] and other["refId"] != ref:
                # A site has one watch; another takes its place.
                orca.settle(other["refId"], POLL, False)
        if ref in self.breaches:
            orca.later(self.breaches[ref], "world", lambda: self.take_back(orca))
        return stage["payload"]["seconds"], True

    def take_back(self, orca: Orca) -> None:
        """The guard sets shares to 0 by itself; each watch hears of it on its next poll."""
        if self.breach_at is not None:
            return
        self.breach_at = orca.now
        self.shares = dict.fromkeys(self.shares, 0)
        self.zero_at = orca.now + 2
        for stage in orca.running():
            if stage["type"] == "webhook" and stage["waitForCompletion"] and "preflight" not in stage["url"]:
                orca.settle(stage["refId"], 2 + POLL, False)

    def later_end(self, orca: Orca, ref: str, well: bool) -> None:
        if orca.status.get(ref) == "RUNNING":
            orca.settle(ref, POLL, well)
