"""Workers that train nothing: one for each Ready pod of a candidate, speaking the worker's protocol with a real console."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from math import ceil
from typing import Any

import requests

from lorafleet.contracts import layout, paths
from tests.engines.delivery.console import Traffic
from tests.engines.kubernetes.cluster import Cluster

_log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0
_SELECTOR = "app.kubernetes.io/component=worker"
_WEIGHTS = b"weights of nothing"


@dataclass(frozen=True)
class Console:
    """Where the console is for the players: its public address, and the plain one behind it."""

    public: str
    plain: str
    credentials: Mapping[str, str]


@dataclass
class _Seat:
    site: str
    release: str
    stopped: threading.Event = field(default_factory=threading.Event)


class Players:
    """Follows the pods of all namespaces. ``traffic(release, site)`` says how its attempts fare.

    ``told``: by release, when the console last told a held attempt that its lease is gone, by the monotonic clock.
    """

    def __init__(self, console: Console, sites: Mapping[str, Cluster], traffic: Callable[[str, str], Traffic]) -> None:
        self._console = console
        self._sites = sites
        self._traffic = traffic
        self._seats: dict[str, _Seat] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._held: set[tuple[str, str]] = set()
        self.told: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY):
            for site, cluster in self._sites.items():
                try:
                    pods = {pod["metadata"]["uid"]: pod for pod in cluster.pods("", _SELECTOR) if _ready(pod)}
                except requests.RequestException:
                    continue  # its workers go on while its API is away
                for uid in [uid for uid, seat in self._seats.items() if seat.site == site and uid not in pods]:
                    self._seats.pop(uid).stopped.set()
                for uid in pods.keys() - self._seats.keys():
                    if release := _release(pods[uid]):
                        seat = self._seats[uid] = _Seat(site, release)
                        threading.Thread(target=self._play, args=(uid, seat), daemon=True).start()
                        self._hold_one(uid, seat)
        for seat in self._seats.values():
            seat.stopped.set()

    def _hold_one(self, uid: str, seat: _Seat) -> None:
        place = (seat.site, seat.release)
        if self._traffic(seat.release, seat.site).held and place not in self._held:
            self._held.add(place)
            threading.Thread(target=self._hold, args=(f"h-{uid[:12]}", seat), daemon=True).start()

    def _hold(self, worker: str, seat: _Seat) -> None:
        """One attempt that goes on until the console takes its lease back. Its pod's end is not its own: the last words count."""
        attempt = _Attempt(self._console, seat.site, worker)
        leased = False
        while not leased and not seat.stopped.is_set():
            with suppress(requests.RequestException, _Over):
                leased = attempt.lease(seat.release)
        while leased and not self._stopped.is_set():
            try:
                attempt.heartbeat()
            except _Over:
                self.told[seat.release] = time.monotonic()
                return
            except requests.RequestException:
                pass  # the console is away
            self._stopped.wait(attempt.heartbeat_seconds)

    def _play(self, uid: str, seat: _Seat) -> None:
        worker = f"w-{uid[:12]}"
        while not seat.stopped.is_set():
            traffic = self._traffic(seat.release, seat.site)
            if not traffic.a_second:
                seat.stopped.wait(1)
                continue
            try:
                self._attempt(worker, seat, traffic)
            except (requests.RequestException, _Over) as error:
                _log.warning("%s in %s: %s", worker, seat.site, error)
                seat.stopped.wait(1)
            seat.stopped.wait(1 / traffic.a_second)

    def _attempt(self, worker: str, seat: _Seat, traffic: Traffic) -> None:
        attempt = _Attempt(self._console, seat.site, worker)
        if not attempt.lease(seat.release):
            return
        if seat.stopped.wait(traffic.latency):
            return
        attempt.heartbeat()
        if self._fails(seat, traffic.error_rate):
            attempt.end("release", 1)
        else:
            attempt.end("succeeded", 0, [attempt.write()])

    def _fails(self, seat: _Seat, rate: float) -> bool:
        """Evenly spread, and the first one of a series: 6 % are the attempts 1, 18, 35 …"""
        with self._lock:
            number = self._attempts[seat.site, seat.release] = self._attempts.get((seat.site, seat.release), 0) + 1
        return ceil(number * rate) > ceil((number - 1) * rate)


class _Over(Exception):
    """The console refuses: the lease was taken back, say."""


class _Attempt:
    def __init__(self, console: Console, site: str, worker: str) -> None:
        self._console = console
        self._site, self._worker = site, worker
        self._session = requests.Session()
        self._session.trust_env = False
        self._attempt: dict[str, Any] = {}
        self._beats = 0
        self.heartbeat_seconds = 0.0

    def lease(self, release: str) -> bool:
        enrolment = {"site": self._site, "worker": self._worker, "credential": self._console.credentials[self._site]}
        token = self._say(paths.ENROL, enrolment)["token"]
        self._session.headers["Authorization"] = f"Bearer {token}"
        gpu = {"name": "NVIDIA L4", "memory_mib": 23034}
        wanted = {"site": self._site, "worker": self._worker, "release": release, "gpus": [gpu], "wait_seconds": 5}
        found = self._say(paths.LEASE, wanted)
        if not found:
            return False
        self._attempt = {"job": found["job"]["id"], "fence": found["fence"]}
        self.heartbeat_seconds = float(found["heartbeat_seconds"])
        return True

    def heartbeat(self) -> None:
        now = datetime.now(UTC).isoformat()
        self._say(paths.HEARTBEAT, {"sequence": self._beats, "phase": "training", "step": 1, "sent_at": now})
        self._beats += 1

    def write(self) -> dict[str, Any]:
        key = layout.output_object(self._attempt["job"], self._attempt["fence"], "lora.safetensors")
        item = {"key": key, "size": len(_WEIGHTS), "sha256": sha256(_WEIGHTS).hexdigest()}
        for grant in self._say(paths.GRANTS, {"method": "PUT", "objects": [item]})["grants"]:
            url = grant["url"].replace(self._console.public, self._console.plain)
            # The signature in the address is the leave; the token is for the console alone.
            requests.put(url, data=_WEIGHTS, headers=grant["headers"], timeout=20).raise_for_status()
        return item

    def end(self, outcome: str, exit_code: int, outputs: list[dict[str, Any]] | None = None) -> None:
        self._say(paths.OUTCOME, {"outcome": outcome, "exit_code": exit_code, "step": 2, "outputs": outputs or []})

    def _say(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        answer = self._session.post(self._console.plain + path, json={"protocol": 1, **self._attempt, **message}, timeout=30)
        if answer.status_code >= 400:
            raise _Over(f"{path}: {answer.status_code} {answer.text[:300]}")
        body: dict[str, Any] = answer.json() if answer.content else {}
        return body


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _release(pod: Mapping[str, Any]) -> str | None:
    environment = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0].get("env") or []}
    return environment.get("LORAFLEET_RELEASE")
