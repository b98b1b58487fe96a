"""A stand-in of Spinnaker's Gate on loopback, true to what was read in Gate's and Front50's source about saves, ids and errors."""

import copy
import itertools
import json
import re
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from loopback_server import LoopbackServer

Json = dict[str, Any]


@dataclass
class Fault:
    """What goes wrong with the next ``times`` calls whose ``METHOD /path`` fits ``calls``.

    ``answer``: send this status, body and headers instead of doing what was asked; ``drop``: break the connection off without doing
    it; ``lose``: do it, then break off; ``late``: a save whose task runs on past Gate's 32 s, and is done after the task was looked
    at ``polls`` times.
    """

    calls: str
    kind: Literal["answer", "drop", "lose", "late", "slow"] = "answer"
    times: int = 1
    status: int = 500
    body: str = '{"message": "made to fail"}'
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    polls: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


class _Refused(Exception):
    """Gate's one answer to every failed save: 400."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeGate(LoopbackServer):
    """Use as a context manager; :attr:`url` is its address."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, user: str = "ci") -> None:
        self.applications: dict[str, Json] = {}
        self.pipelines: dict[str, Json] = {}
        self.canary_configs: dict[str, Json] = {}
        self.has_kayenta = True
        self.executions: dict[str, list[Json]] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.accepts: Callable[[Mapping[str, str]], int] = lambda _headers: 200
        self.before_save: Callable[[Json], None] | None = None
        self.stale_check_works = True
        self.first_snapshot: Callable[[Json], list[Json]] = _new_execution
        self._tasks: dict[str, Json] = {}
        self._user = user
        self._clock = itertools.count(1_700_000_000_000, 1000)
        self._lock = threading.RLock()
        super().__init__(_handler(self), tls)

    # What tests look at and do behind the client's back.

    def called(self, pattern: str) -> list[Call]:
        """The calls whose ``METHOD /path`` fits."""
        return [call for call in self.calls if re.fullmatch(pattern, call.line)]

    def named(self, name: str, application: str = "lora-trainer") -> Json:
        """The pipeline of this name."""
        return next(one for one in self.pipelines.values() if one["application"] == application and one["name"] == name)

    def put(self, pipeline: Mapping[str, Any], by: str = "ci") -> Json:
        """Store a pipeline as Front50 does, without any check."""
        with self._lock:
            stored = copy.deepcopy(dict(pipeline))
            stored.setdefault("id", str(uuid.uuid4()))
            stored.update(updateTs=str(next(self._clock)), lastModifiedBy=by, lastModified=next(self._clock))
            stored.setdefault("schema", "1")
            stored.setdefault("index", len(self.pipelines))
            for trigger in stored.get("triggers", []):
                trigger.setdefault("id", str(uuid.uuid4()))
            self.pipelines[stored["id"]] = stored
            return stored

    def edit(self, name: str, /, by: str = "alice", **changes: Any) -> None:
        """Somebody else's change in the web page."""
        self.put({**self.named(name), **changes}, by)

    # The contract.

    def handle(self, call: Call) -> tuple[int, Any]:
        """Do what a call asks for."""
        parts = [unquote(part) for part in call.path.strip("/").split("/")]
        with self._lock:
            match (call.method, *parts):
                case ("GET", "applications", name):
                    if name not in self.applications:
                        return 404, {"error": "Not Found", "message": f"Application not found (id: {name})", "status": 404}
                    return 200, {"name": name, "attributes": self.applications[name], "clusters": {}}
                case ("GET", "applications", name, "pipelineConfigs"):
                    return 200, [copy.deepcopy(one) for one in self.pipelines.values() if one["application"] == name]
                case ("GET", "applications", name, "pipelineConfigs", pipeline):
                    found = [one for one in self.pipelines.values() if (one["application"], one["name"]) == (name, pipeline)]
                    if not found:
                        return 404, {"error": "Not Found", "message": f"Pipeline config (id: {pipeline}) not found", "status": 404}
                    return 200, copy.deepcopy(found[0])
                case ("POST", "pipelines"):
                    self.save(call.body, stale_check=call.query.get("staleCheck") == ["true"])
                    return 200, None
                case ("DELETE", "pipelines", name, pipeline):
                    self.pipelines = {
                        key: one for key, one in self.pipelines.items() if (one["application"], one["name"]) != (name, pipeline)
                    }
                    return 200, None
                case (_, "v2", "canaryConfig", *rest) if self.has_kayenta:
                    assert call.query.get("configurationAccountName"), call
                    return self._canary_config(call, *rest)
                case ("POST", "tasks"):
                    return 200, {"ref": f"/tasks/{self._start_task(call.body)}"}
                case ("GET", "tasks", task):
                    return self._task(task)
                case ("POST", "pipelines", "v2", name, pipeline):
                    return self._trigger(name, pipeline, call.body)
                case ("GET", "pipelines", execution):
                    if execution not in self.executions:
                        return 404, {"error": "Not Found", "message": f"Pipeline not found (id: {execution})", "status": 404}
                    snapshots = self.executions[execution]
                    return 200, snapshots.pop(0) if len(snapshots) > 1 else snapshots[0]
                case ("GET", "executions"):
                    wanted = call.query["pipelineConfigIds"][0].split(",")
                    found = [one[0] for one in self.executions.values() if one[0].get("pipelineConfigId") in wanted]
                    return 200, list(reversed(found))[: int(call.query.get("limit", ["1"])[0])]
                case _:
                    return 404, {"status": 404, "error": "Not Found", "path": call.path}

    def save(self, pipeline: Json, *, stale_check: bool) -> None:
        """What the task ``savePipeline`` does in Orca and Front50; every refusal is Gate's 400."""
        if self.before_save is not None:
            self.before_save(pipeline)
        if not pipeline.get("application") or not pipeline.get("name"):
            raise _Refused(400, "A pipeline requires name and application fields")
        for other in self.pipelines.values():
            if (
                other["application"] == pipeline["application"]
                and other["name"].lower() == pipeline["name"].lower()
                and other["id"] != pipeline.get("id")
            ):
                raise _Refused(
                    400, f"A pipeline with name {pipeline['name']} already exists in application {pipeline['application']}"
                )
        held = self.pipelines.get(pipeline.get("id", ""))
        if stale_check and self.stale_check_works and held is not None and held["updateTs"] != pipeline.get("updateTs"):
            raise _Refused(400, "The submitted pipeline is stale")
        self.put(pipeline, self._user)

    def _canary_config(self, call: Call, config_id: str = "") -> tuple[int, Any]:
        """Kayenta's controller, which Gate passes through."""
        if call.method == "GET" and not config_id:
            applications = call.query.get("application", [])
            return 200, [
                {key: one[key] for key in ("id", "name", "applications", "updatedTimestamp", "updatedTimestampIso")}
                for one in self.canary_configs.values()
                if not applications or set(applications) & set(one["applications"])
            ]
        if call.method == "GET":
            if config_id not in self.canary_configs:
                return 404, {"status": 404, "message": f"Could not find CANARY_CONFIG {config_id}"}
            return 200, copy.deepcopy(self.canary_configs[config_id])
        config = copy.deepcopy(call.body)
        if not re.fullmatch(r"[A-Za-z0-9,_-]+", config.get("name") or "") or not config.get("applications"):
            raise _Refused(400, "Canary config must specify a name and at least one application.")
        if call.method == "POST":
            config_id = config.setdefault("id", str(uuid.uuid4()))
            if config_id in self.canary_configs:
                raise _Refused(400, f"Canary config '{config_id}' already exists.")
        elif config_id not in self.canary_configs:
            raise _Refused(400, f"Canary config '{config_id}' does not exist.")
        self.put_canary_config({**config, "id": config_id})
        return 200, {"canaryConfigId": config_id}

    def put_canary_config(self, config: Mapping[str, Any]) -> None:
        """Store a config as Kayenta does: with times, weights as doubles and unset settings as null."""
        stored = copy.deepcopy(dict(config))
        now = next(self._clock)
        stored.update(updatedTimestamp=now, updatedTimestampIso=f"at {now}", createdTimestamp=now, createdTimestampIso=f"at {now}")
        weights = stored["classifier"]["groupWeights"]
        stored["classifier"]["groupWeights"] = {group: float(weight) for group, weight in weights.items()}
        for metric in stored["metrics"]:
            metric["query"] = {"resourceType": None, "customFilterTemplate": None, "groupByFields": None, **metric["query"]}
        self.canary_configs[stored["id"]] = stored

    def start_late_save(self, call: Call, polls: int) -> str:
        """A save that Gate gives up waiting for."""
        task = str(uuid.uuid4())
        stale_check = call.query.get("staleCheck") == ["true"]
        self._tasks[task] = {"polls": polls, "do": lambda: self.save(call.body, stale_check=stale_check)}
        return task

    def _start_task(self, body: Json) -> str:
        task = str(uuid.uuid4())
        job = body["job"][0]
        assert job["type"] in ("createApplication", "updateApplication"), job

        def upsert() -> None:
            if not job["application"].get("email"):
                raise _Refused(400, "email is required")
            self.applications.setdefault(job["application"]["name"], {}).update(job["application"])

        self._tasks[task] = {"polls": 1, "do": upsert}
        return task

    def _task(self, name: str) -> tuple[int, Any]:
        task = self._tasks.get(name)
        if task is None:
            return 404, {"status": 404, "message": f"Task not found (id: {name})"}
        if task["polls"] > 0:
            task["polls"] -= 1
            return 200, {"id": name, "status": "RUNNING", "variables": []}
        if "status" not in task:
            try:
                task["do"]()
                task.update(status="SUCCEEDED", variables=[])
            except _Refused as refused:
                exception = {"details": {"errors": [str(refused)]}}
                task.update(status="TERMINAL", variables=[{"key": "exception", "value": exception}])
        return 200, {"id": name, "status": task["status"], "variables": task["variables"]}

    def _trigger(self, application: str, pipeline: str, body: Json) -> tuple[int, Any]:
        found = [
            one for one in self.pipelines.values() if one["application"] == application and pipeline in (one["name"], one["id"])
        ]
        if not found:
            return 404, {"status": 404, "message": f"Unable to locate pipeline '{pipeline}' in application '{application}'"}
        execution = f"01{uuid.uuid4().hex[:24].upper()}"
        start = {"id": execution, "pipelineConfigId": found[0]["id"], "application": application, "name": found[0]["name"]}
        self.executions[execution] = self.first_snapshot({**start, "trigger": {"type": "manual", "parameters": body["parameters"]}})
        return 202, {"eventId": str(uuid.uuid4()), "ref": f"/pipelines/{execution}"}

    def fault(self, call: Call) -> Fault | None:
        """The fault that meets this call."""
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and re.fullmatch(fault.calls, call.line):
                    fault.times -= 1
                    return fault
            return None


def _new_execution(start: Json) -> list[Json]:
    now = int(time.time() * 1000)
    running = {**start, "status": "RUNNING", "startTime": now, "stages": []}
    return [running, {**running, "status": "SUCCEEDED", "endTime": now + 1000}]


def _handler(gate: FakeGate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Answers leave in one piece: without it each waits 40 ms for an acknowledgement.
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def _serve(self) -> None:
            split = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = Call(
                self.command,
                split.path,
                parse_qs(split.query),
                {key.lower(): value for key, value in self.headers.items()},
                json.loads(raw) if raw else None,
            )
            gate.calls.append(call)
            status = gate.accepts(call.headers)
            if status == 302:
                self._answer(302, b"", {"Location": "https://login.example.org/oauth2?state=1"})
                return
            if status != 200:
                self._json(status, {"status": status, "message": "Access is denied" if status == 403 else ""})
                return
            self._with_faults(call, gate.fault(call))

        def _with_faults(self, call: Call, fault: Fault | None) -> None:
            kind = fault.kind if fault is not None else None
            if fault is not None and kind == "slow":
                time.sleep(fault.seconds)
            if fault is not None and kind == "answer":
                self._answer(fault.status, fault.body.encode(), fault.headers)
            elif fault is not None and kind == "late":
                task = gate.start_late_save(call, fault.polls)
                self._json(400, {"status": 400, "message": _not_done(task)})
            elif kind == "drop":
                self._break_off()
            else:
                try:
                    status, answer = gate.handle(call)
                except _Refused as refused:
                    status, answer = refused.status, {"error": "Bad Request", "status": refused.status, "message": str(refused)}
                if kind == "lose":
                    self._break_off()
                else:
                    self._json(status, answer)

        def _break_off(self) -> None:
            self.close_connection = True

        def _json(self, status: int, value: Any) -> None:
            self._answer(
                status, b"" if value is None else json.dumps(value).encode(), {"Content-Type": "application/json;charset=UTF-8"}
            )

        def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    return Handler


def _not_done(task: str) -> str:
    return f"Pipeline save operation did not succeed: {task} (status: RUNNING)"
