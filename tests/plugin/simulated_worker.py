"""A worker without a training: it speaks the protocol as the real one does, and its steps pass with the time.

What it cannot say while the console or the stores are away it says later, and it stops an attempt once it is fenced. Run
:func:`work` as a process of its own, so that it can be killed.
"""

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from lorafleet.contracts import layout, paths

_ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Spec:
    """One worker. ``skew`` is how far its clock is ahead; ``journal`` gets each step that it has done, as a training's own log."""

    url: str
    site: str
    name: str
    release: str
    credential: str
    step_seconds: float = 0.05
    checkpoint_steps: int = 10
    skew: timedelta = timedelta(0)
    journal: Path | None = None


class ConsoleAway(Exception):
    """No answer, or one that says to come again later."""


class Fenced(Exception):
    """The attempt is not this worker's any more."""


def work(spec: Spec) -> None:
    """Take job after job, until killed."""
    with httpx.Client(verify=False, timeout=_ANSWER_SECONDS) as http:
        while True:
            with suppress(ConsoleAway, Fenced):
                Attempt(spec, http).run()
            time.sleep(_PAUSE_SECONDS)


class Attempt:
    """From enrolment to the outcome."""

    def __init__(self, spec: Spec, http: httpx.Client) -> None:
        self._spec = spec
        self._http = http
        self._token = ""
        self._lease: dict[str, Any] = {}
        self._sequence = 0
        self._unsaid: deque[dict[str, Any]] = deque()

    def run(self) -> None:
        """Raises ConsoleAway before there is a lease, and Fenced."""
        who = {"protocol": 1, "site": self._spec.site, "worker": self._spec.name}
        self._token = self._post(paths.ENROL, {**who, "credential": self._spec.credential}).json()["token"]
        answer = self._post(paths.LEASE, {**who, "release": self._spec.release, "gpus": [], "wait_seconds": 2})
        if answer.status_code == 200:
            self._lease = answer.json()
            self._train()

    def _train(self) -> None:
        job = self._lease["job"]
        first = step = job["resume"]["step"] if job["resume"] else 0
        total = job["training"]["max_steps"]
        begun, beat, saved = time.monotonic(), 0.0, first
        while step < total:
            step = min(total, first + int((time.monotonic() - begun) / self._spec.step_seconds))
            if self._spec.journal is not None:
                # Whole or not at all: the worker may be killed at any moment.
                part = self._spec.journal.with_suffix(".part")
                part.write_text(str(step))
                part.replace(self._spec.journal)
            if time.monotonic() >= beat:
                beat = time.monotonic() + self._lease["heartbeat_seconds"]
                self._unsaid.append(
                    {"step": step, "total_steps": total, "metrics": {"loss": 1 / (1 + step)}, "sent_at": self._now()}
                )
                with suppress(ConsoleAway):
                    self._beat(step)
                    while self._unsaid:
                        self._say(paths.PROGRESS, **self._unsaid[0])
                        self._unsaid.popleft()
            if step - saved >= self._spec.checkpoint_steps:
                with suppress(ConsoleAway):
                    saved = self._publish(step)
            time.sleep(self._spec.step_seconds / 2)
        self._finish(total)

    def _beat(self, step: int) -> None:
        self._say(paths.HEARTBEAT, sequence=self._sequence, phase="training", step=step, sent_at=self._now())
        self._sequence += 1

    def _publish(self, step: int) -> int:
        job, fence = self._lease["job"]["id"], self._lease["fence"]
        item = self._write(layout.step_object(job, fence, step, "lora.safetensors"), f"{job} {fence} {step}".encode())
        stores = ["one", "two"]
        self._say(paths.CHECKPOINT, step=step, release=self._spec.release, format_version=1, objects=[item], stores=stores)
        return step

    def _finish(self, step: int) -> None:
        job, fence = self._lease["job"]["id"], self._lease["fence"]
        while True:
            with suppress(ConsoleAway):
                self._beat(step)
                item = self._write(layout.output_object(job, fence, "lora.safetensors"), f"{job} {fence} output".encode())
                self._say(paths.OUTCOME, outcome="succeeded", exit_code=0, step=step, outputs=[item])
                return
            time.sleep(_PAUSE_SECONDS)

    def _write(self, key: str, data: bytes) -> dict[str, Any]:
        item = {"key": key, "size": len(data), "sha256": sha256(data).hexdigest()}
        for grant in self._say(paths.GRANTS, method="PUT", objects=[item]).json()["grants"]:
            with suppress(httpx.TransportError):
                # Whether enough stores took it is for the console to see.
                self._http.put(grant["url"], content=data, headers=grant["headers"])
        return item

    def _say(self, path: str, **message: Any) -> httpx.Response:
        return self._post(path, {"protocol": 1, "job": self._lease["job"]["id"], "fence": self._lease["fence"], **message})

    def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            answer = self._http.post(self._spec.url + path, json=body, headers=headers)
        except httpx.TransportError:
            raise ConsoleAway from None
        if answer.status_code in (401, 409):
            raise Fenced
        if answer.status_code >= 300:
            # 422 too: a store lost what was written, so that it is written again.
            raise ConsoleAway
        return answer

    def _now(self) -> str:
        return (datetime.now(UTC) + self._spec.skew).isoformat()
