"""A console of a few lines and its object stores, on real sockets. Every message is read with the contract's model.

Its switches are plain attributes that a test sets while workers run: ``away``, ``order``, ``down`` stores, and :meth:`fence_off`.
"""

import hashlib
import json
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

from loopback_server import LoopbackServer
from pydantic import BaseModel, ValidationError

from lorafleet.contracts import layout, paths
from lorafleet.contracts.jobs import (
    AttemptSecrets,
    AttemptToken,
    CheckpointPublished,
    DatasetFiles,
    DatasetRequest,
    DatasetVersion,
    Enrolment,
    GrantRequest,
    Grants,
    Heartbeat,
    HeartbeatReply,
    Job,
    Lease,
    LeaseRequest,
    LogLines,
    Method,
    ObjectGrant,
    Order,
    Outcome,
    Progress,
    PublishedObject,
    ResumePoint,
    SamplePublished,
    SecretsRequest,
)
from lorafleet.contracts.training import from_mapping

CREDENTIAL = "the-site-s-credential"
STORES = ("near", "far")
MODELS: dict[str, type[BaseModel]] = {
    paths.ENROL: Enrolment,
    paths.LEASE: LeaseRequest,
    paths.HEARTBEAT: Heartbeat,
    paths.PROGRESS: Progress,
    paths.SAMPLE: SamplePublished,
    paths.LOG: LogLines,
    paths.CHECKPOINT: CheckpointPublished,
    paths.GRANTS: GrantRequest,
    paths.DATASET: DatasetRequest,
    paths.SECRETS: SecretsRequest,
    paths.OUTCOME: Outcome,
}


class Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        self.status, self.detail = status, detail


class ProtocolServer(LoopbackServer):
    def __init__(self) -> None:
        self.stores: dict[str, dict[str, bytes]] = {name: {} for name in STORES}
        self.down: set[str] = set()
        self.away = False
        self.order = Order.CONTINUE
        self.protocol = 1
        self.loses_outputs_once = False
        self.crosses_requests_once = False
        self.heartbeat_seconds = 0.2
        self.secrets: dict[str, str] = {}
        self.unreadable: tuple[str, ...] = ()
        self.credential = CREDENTIAL
        self.waiting: deque[Job] = deque()
        self.fences: dict[str, int] = {}
        self.jobs: dict[str, Job] = {}
        self.said: list[tuple[float, BaseModel]] = []
        self.refused: list[str] = []
        self.puts: list[tuple[float, str, str]] = []
        self._tokens: dict[str, str | None] = {}
        self._lock = threading.RLock()
        super().__init__(_handler(self))

    # --- what a test does and looks at

    def dataset(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            for store in self.stores.values():
                store[layout.dataset_object("set", "v1", name)] = content

    def submit(self, job: str, training: dict[str, Any], resume: ResumePoint | None = None, gpus: int = 1) -> None:
        config = from_mapping({"train_data_dir": "data", "output_dir": "output", **training})
        with self._lock:
            dataset = DatasetVersion(dataset="set", version="v1")
            self.waiting.append(Job(id=job, dataset=dataset, training=config, gpus=gpus, resume=resume))

    def resume_point(self, job: str) -> ResumePoint:
        last = self.all(CheckpointPublished, job)[-1]
        return ResumePoint(fence=last.fence, step=last.step, release=last.release, objects=last.objects)

    def fence_off(self, job: str) -> None:
        with self._lock:
            self.fences[job] += 1

    def all(self, kind: type[Any], job: str | None = None) -> list[Any]:
        with self._lock:
            found = [message for _, message in self.said if isinstance(message, kind)]
        return [message for message in found if job is None or message.job == job]

    def at(self, message: BaseModel) -> float:
        with self._lock:
            return next(at for at, said in self.said if said is message)

    def wait(self, kind: type[Any], count: int = 1, seconds: float = 150, where: Any = lambda message: True) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            found = [message for message in self.all(kind) if where(message)]
            if len(found) >= count:
                return found[count - 1]
            assert time.monotonic() < deadline, f"no {kind.__name__}; refused: {self.refused}; said: {self.said[-3:]}"
            time.sleep(0.01)

    # --- the protocol

    def take(self, path: str, raw: bytes, token: str | None) -> BaseModel | None:
        try:
            message = MODELS[path].model_validate_json(raw)
        except ValidationError as error:
            raise Refused(422, str(error)) from None
        with self._lock:
            if isinstance(message, Enrolment):
                if message.credential.get_secret_value() != self.credential:
                    raise Refused(401, "wrong credential")
                text = f"token-{len(self._tokens)}"
                self._tokens[text] = None
                return AttemptToken(token=text, expires_at=datetime.now(UTC) + timedelta(hours=1))
            if token not in self._tokens:
                raise Refused(401, "unknown token")
            if isinstance(message, LeaseRequest):
                return self._lease(message, token)
            assert not isinstance(message, BaseModel) or hasattr(message, "fence")
            if self._tokens[token] != message.job:
                raise Refused(401, "a token of another attempt")
            if message.fence != self.fences[message.job]:
                raise Refused(409, "a newer lease holds the job")
            answer = self._answer(message)
            self.said.append((time.monotonic(), message))
            return answer

    def _lease(self, message: LeaseRequest, token: str) -> Lease | None:
        self.said.append((time.monotonic(), message))
        if self._tokens[token] is not None:
            raise Refused(401, "this token has led to a lease")
        if self.crosses_requests_once:
            self.crosses_requests_once = False
            raise Refused(409, "this token belongs to another attempt")
        if not self.waiting:
            return None
        job = self.waiting.popleft()
        self.jobs[job.id] = job
        self._tokens[token] = job.id
        self.fences[job.id] = self.fences.get(job.id, job.resume.fence if job.resume else 0) + 1
        lease = Lease(
            job=job,
            fence=self.fences[job.id],
            grants=(),
            deadline=datetime.now(UTC) + timedelta(seconds=5),
            heartbeat_seconds=self.heartbeat_seconds,
        )
        self.said.append((time.monotonic(), lease))
        return lease

    def _answer(self, message: Any) -> BaseModel | None:
        attempt = {"job": message.job, "fence": message.fence}
        if isinstance(message, Heartbeat):
            return HeartbeatReply(**attempt, order=self.order, deadline=datetime.now(UTC) + timedelta(seconds=5))
        if isinstance(message, DatasetRequest):
            prefix = layout.dataset_prefix("set", "v1")
            files = [
                PublishedObject(key=key, size=len(content), sha256=hashlib.sha256(content).hexdigest())
                for key, content in sorted(self.stores["near"].items())
                if key.startswith(prefix) and (message.after is None or key > message.after)
            ]
            return DatasetFiles(**attempt, files=tuple(files[:2]), more=len(files) > 2)
        if isinstance(message, SecretsRequest):
            return AttemptSecrets.model_validate({**attempt, "secrets": self.secrets, "unreadable": self.unreadable})
        if isinstance(message, GrantRequest):
            return Grants(
                **attempt, grants=tuple(self._grant(store, item, message) for store in STORES for item in message.objects)
            )
        if isinstance(message, CheckpointPublished):
            assert len(message.stores) >= 2
            self._in_stores(message.objects, message.stores)
        elif isinstance(message, SamplePublished):
            assert any(message.object.key in store for store in self.stores.values())
        elif isinstance(message, Outcome) and message.outputs:
            if self.loses_outputs_once:
                self.loses_outputs_once = False
                del self.stores["far"][message.outputs[0].key]
            self._in_stores(message.outputs, STORES)
        return None

    def _grant(self, store: str, item: Any, message: GrantRequest) -> ObjectGrant:
        headers = {"x-sha256": item.sha256} if message.method is Method.PUT else {}
        return ObjectGrant(
            key=item.key,
            method=message.method,
            store=store,
            url=f"{self.url}/store/{store}/{item.key}?signature=s3cr3t",
            headers=headers,
            expires_at=datetime.now(UTC) + timedelta(minutes=5),
        )

    def _in_stores(self, objects: tuple[PublishedObject, ...], stores: tuple[str, ...]) -> None:
        for item in objects:
            for store in stores:
                content = self.stores[store].get(item.key)
                if content is None or hashlib.sha256(content).hexdigest() != item.sha256:
                    raise Refused(422, f"{store} does not hold {item.key}")


def _handler(server: ProtocolServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            # A process that ends while it sends leaves half a message, which nobody waits to have answered.
            if server.away or len(raw) < int(self.headers["Content-Length"]):
                return self._hang_up()
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            try:
                reply = server.take(self.path, raw, token)
            except Refused as refusal:
                server.refused.append(f"{refusal.status} {self.path}: {refusal.detail}")
                return self._send(refusal.status, json.dumps({"detail": refusal.detail}).encode())
            except AssertionError as error:
                server.refused.append(f"broken: {self.path} {error!r}")
                return self._send(500, b"{}")
            if reply is None:
                if self.path == paths.LEASE:
                    time.sleep(0.1)
                return self._send(204, b"")
            body = json.loads(reply.model_dump_json())
            self._send(200, json.dumps({**body, "protocol": server.protocol}).encode())

        def do_GET(self) -> None:
            store, key = self._object()
            content = None if store in server.down else server.stores[store].get(key)
            self._send(404, b"") if content is None else self._send(200, content)

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            store, key = self._object()
            if store in server.down or len(content) < int(self.headers["Content-Length"]):
                return self._hang_up()
            assert self.headers["x-sha256"] == hashlib.sha256(content).hexdigest()
            server.stores[store][key] = content
            server.puts.append((time.monotonic(), store, key))
            self._send(200, b"")

        def _object(self) -> tuple[str, str]:
            assert "Authorization" not in self.headers
            store, _, key = self.path.partition("?")[0].removeprefix("/store/").partition("/")
            return store, key

        def _hang_up(self) -> None:
            self.close_connection = True

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
