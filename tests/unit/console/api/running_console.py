"""What tests say to a real console, as people and workers do."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import httpx
from PIL import Image

from lorafleet.console.api.services import Services
from lorafleet.console.domain.records import Role
from lorafleet.console.store.ledger import SqlLedger
from lorafleet.contracts import layout, paths

RELEASE = f"sha256:{'a' * 64}"
API = paths.API


def quick_client(**options: Any) -> httpx.Client:
    """A client for loopback, which does not read the certificates of the whole world first."""
    return httpx.Client(verify=False, **{"timeout": 30, **options})


@dataclass
class RunningConsole:
    url: str
    services: Services
    directory: Path
    admin: httpx.Client
    others: list[httpx.Client] = field(default_factory=list)

    @property
    def ledger(self) -> SqlLedger:
        ledger = self.services.ledger
        assert isinstance(ledger, SqlLedger)
        return ledger

    def client(self, role: Role = Role.ADMIN, team: str = "default", **options: Any) -> httpx.Client:
        _, text = self.ledger.access.create_token(team, f"{role} of {team}", role, "test")
        client = quick_client(base_url=self.url, headers={"Authorization": f"Bearer {text}"}, **options)
        self.others.append(client)
        return client

    def anonymous(self, **options: Any) -> httpx.Client:
        client = quick_client(base_url=self.url, **options)
        self.others.append(client)
        return client


StartConsole = Callable[..., RunningConsole]


def picture(seed: int = 0) -> bytes:
    image = Image.new("RGB", (512, 512))
    image.putdata([((x * seed) % 251, (x // 512 + seed * 40) % 251, (x * 7) % 251) for x in range(512 * 512)])
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


PICTURES = {f"photo-{number}.png": picture(number) for number in range(1, 3)}


def new_dataset(client: httpx.Client, name: str = "") -> tuple[str, str]:
    """A data set with two captioned pictures: its id and version."""
    made = client.post(f"{API}/datasets", json={"name": name or f"set {time.monotonic_ns()}"})
    assert made.status_code == 201, made.text
    files = [("files", (name, data)) for name, data in PICTURES.items()]
    files += [("files", (f"{name[:-4]}.txt", f"a {name} at night".encode())) for name in PICTURES]
    uploaded = client.post(f"{API}/datasets/{made.json()['id']}/uploads", files=files)
    assert uploaded.status_code == 201, uploaded.text
    return made.json()["id"], uploaded.json()["version"]


def new_text_set(client: httpx.Client) -> str:
    """A data set of two texts, which needs no decoder's process."""
    made = client.post(f"{API}/datasets", json={"name": f"texts {time.monotonic_ns()}", "kind": "texts"})
    files = [("files", ("a.jsonl", b'{"text": "neon"}\n{"text": "rain"}\n'))]
    uploaded = client.post(f"{API}/datasets/{made.json()['id']}/uploads", files=files)
    assert uploaded.status_code == 201, uploaded.text
    return str(made.json()["id"])


def new_job(client: httpx.Client, dataset: str, **more: Any) -> dict[str, Any]:
    body = {"name": "neon", "dataset": dataset, "training": {"base_model": "tiny-sd", "max_steps": 10}, **more}
    answer = client.post(f"{API}/jobs", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


class Serving(Protocol):
    """A console, in this process or another."""

    url: str
    directory: Path


@dataclass
class HttpWorker:
    """A worker's side of the protocol, by plain HTTP."""

    console: Serving
    site: str = "local"
    name: str = "worker-1"
    release: str = RELEASE
    job: str = ""
    fence: int = 0
    lease: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)
    http: httpx.Client = field(default_factory=lambda: quick_client(timeout=20))

    def enrol(self) -> "HttpWorker":
        credential = (self.console.directory / "enrolment" / self.site).read_text().strip()
        answer = self.http.post(
            self.console.url + paths.ENROL,
            json={"protocol": 1, "site": self.site, "worker": self.name, "credential": credential},
        )
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return self

    def ask_lease(self, wait: int = 5) -> httpx.Response:
        body = {"protocol": 1, "site": self.site, "worker": self.name, "release": self.release, "gpus": [], "wait_seconds": wait}
        answer = self.http.post(self.console.url + paths.LEASE, json=body)
        if answer.status_code == 200:
            self.lease = answer.json()
            self.job, self.fence = self.lease["job"]["id"], self.lease["fence"]
        return answer

    def leased(self) -> "HttpWorker":
        answer = self.enrol().ask_lease(15)
        assert answer.status_code == 200, answer.text
        return self

    def say(self, path: str, **message: Any) -> httpx.Response:
        body = {"protocol": 1, "job": self.job, "fence": self.fence, **message}
        return self.http.post(self.console.url + path, json=body)

    def heartbeat(self, sequence: int = 0, step: int = 0) -> httpx.Response:
        now = datetime.now(UTC).isoformat()
        return self.say(paths.HEARTBEAT, sequence=sequence, phase="training", step=step, sent_at=now)

    def write(self, key: str, data: bytes) -> dict[str, Any]:
        item = {"key": key, "size": len(data), "sha256": sha256(data).hexdigest()}
        granted = self.say(paths.GRANTS, method="PUT", objects=[item])
        assert granted.status_code == 200, granted.text
        for grant in granted.json()["grants"]:
            stored = self.http.put(grant["url"], content=data, headers={**grant["headers"], "Authorization": ""})
            assert stored.status_code < 300, stored.text
        return item

    def publish(self, step: int, data: bytes = b"weights") -> httpx.Response:
        item = self.write(layout.step_object(self.job, self.fence, step, "lora.safetensors"), data)
        return self.say(
            paths.CHECKPOINT, step=step, release=self.release, format_version=1, objects=[item], stores=["local", "backup"]
        )

    def succeed(self, data: bytes = b"finished") -> httpx.Response:
        self.output = self.write(layout.output_object(self.job, self.fence, "neon.safetensors"), data)
        return self.say(paths.OUTCOME, outcome="succeeded", exit_code=0, step=10, outputs=[self.output])


def soon(what: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["detail"]
    assert "\n" not in body["detail"]
    return body
