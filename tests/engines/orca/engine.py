"""Orca in a JVM of its own with Redis, and the services around it that stand in."""

import copy
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.engines.orca.clouddriver import Clouddriver
from tests.engines.orca.front50 import Front50
from tests.engines.pki import Authority
from tests.engines.processes import Server, answers, binary, engines_home, free_port

Execution = dict[str, Any]
Stage = dict[str, Any]

_BUILD = "tests/engines/orca/build.sh"
_CONF = Path(__file__).parent / "conf"
_PASSWORD = "changeit"  # the JVM insists on one for a file of public certificates
ENDED = frozenset({"SUCCEEDED", "TERMINAL", "CANCELED", "STOPPED", "FAILED_CONTINUE", "SKIPPED"})


class OrcaEngine:
    """A real Orca on a free port. ``hosts`` are the DNS names that its webhooks find on 127.0.0.1; no other name resolves.

    ``authority`` is what its webhooks trust when they call https.
    """

    def __init__(self, folder: Path, accounts: Mapping[str, Path], hosts: tuple[str, ...], authority: Authority) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.front50 = Front50()
        self.clouddriver = Clouddriver(accounts)
        self.url = ""
        self._hosts = hosts
        self._session = requests.Session()
        self._session.trust_env = False
        self._redis_port = free_port()
        words = ["--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        self._redis = Server("redis", [_redis(), *words], folder)
        (folder / "truststore.p12").write_bytes(authority.truststore(_PASSWORD))
        # Spring asks for this machine's own name.
        names = " ".join(["localhost", socket.gethostname(), *hosts])
        (folder / "hosts").write_text(f"127.0.0.1 {names}\n")
        self._orca: Server | None = None

    def start(self) -> "OrcaEngine":
        """Start Redis and Orca; about 15 s."""
        self._redis.start().wait_for(lambda: answers(self._redis_port), 20)
        self._start_orca()
        return self

    def stop(self) -> None:
        if self._orca is not None:
            self._orca.stop()
        self._redis.stop()
        self.clouddriver.close()
        self.front50.close()

    def kill(self) -> None:
        """End Orca's process with SIGKILL; Redis and what stands in live on."""
        assert self._orca is not None
        self._orca.kill()

    def restart(self) -> None:
        """Start a killed Orca on the same Redis and port."""
        assert self._orca is not None
        self._await(self._orca.start())

    def submit(self, pipeline: Mapping[str, Any], parameters: Mapping[str, Any] | None = None, **trigger: Any) -> str:
        """Start a pipeline as Gate does for a manual start and give the execution's id. Parameters left out take their defaults."""
        execution = copy.deepcopy(dict(pipeline))
        given = dict(parameters or {})
        for each in execution.get("parameterConfig") or []:
            given.setdefault(each["name"], each.get("default"))
        execution["trigger"] = {"type": "manual", "user": "tester", "enabled": True, **trigger, "parameters": given}
        execution.setdefault("application", "bed")
        execution.setdefault("notifications", [])
        self.front50.save({"id": execution.setdefault("id", f"{execution['application']}-{execution['name']}"), **pipeline})
        ref: str = self._call("POST", "/orchestrate", execution)["ref"]
        return ref.rpartition("/")[2]

    def get(self, execution: str) -> Execution:
        return dict(self._call("GET", f"/pipelines/{execution}"))

    def list(self, application: str) -> list[Execution]:
        """The executions of an application that Redis holds."""
        found: list[Execution] = self._call("GET", f"/applications/{application}/pipelines")
        return found

    def cancel(self, execution: str, reason: str = "cancelled by a person") -> None:
        self._call("PUT", f"/pipelines/{execution}/cancel?user=tester&reason={quote(reason)}")

    def judge(self, execution: str, stage: str, answer: str) -> None:
        """Answer the manual judgment of a stage, by name or refId, with ``continue`` or ``stop``."""
        identifier = stage_of(self.get(execution), stage)["id"]
        self._call("PATCH", f"/pipelines/{execution}/stages/{identifier}?user=tester", {"judgmentStatus": answer})

    def wait(self, execution: str, seconds: float) -> Execution:
        """The execution once it and its cancelled stages have ended; the test fails with its stages when it takes longer."""

        def ended(found: Execution) -> bool:
            return found["status"] in ENDED and all(stage["status"] != "RUNNING" for stage in found["stages"])

        return self.wait_for(execution, ended, seconds, "it ends")

    def wait_for_stage(self, execution: str, stage: str, status: str, seconds: float) -> Execution:
        """The execution once a stage, by name or refId, has a status."""
        return self.wait_for(execution, lambda found: stage_of(found, stage)["status"] == status, seconds, f"{stage} is {status}")

    def wait_for(self, execution: str, met: Callable[[Execution], bool], seconds: float, what: str) -> Execution:
        until = time.monotonic() + seconds
        while True:
            found = self.get(execution)
            if met(found):
                return found
            if time.monotonic() > until:
                pytest.fail(f"not within {seconds:g} s: {what}\n{told(found)}", pytrace=False)
            time.sleep(0.2)

    def _start_orca(self) -> None:
        port = free_port()
        work = engines_home() / "orca"
        if not (work / "classes").is_dir() or not (work / "lib").is_dir():
            pytest.fail(f"Orca is not in {work}: run {_BUILD}, or make engines", pytrace=False)
        command: list[str | Path] = [
            binary("java", _BUILD),
            *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
            f"-Djdk.net.hosts.file={self.folder / 'hosts'}",
            f"-Djavax.net.ssl.trustStore={self.folder / 'truststore.p12'}",
            f"-Djavax.net.ssl.trustStorePassword={_PASSWORD}",
            "-Djavax.net.ssl.trustStoreType=PKCS12",
            f"-Dspring.config.location=file:{_CONF}/",
            "-Dspring.config.name=orca",
            *("-cp", f"{work / 'classes'}:{work / 'lib'}/*"),
            "engine.OrcaEngine",
            f"--server.port={port}",
            f"--redis.connection=redis://127.0.0.1:{self._redis_port}",
            f"--front50.baseUrl={self.front50.url}",
            f"--clouddriver.baseUrl={self.clouddriver.url}",
        ]
        self.url = f"http://127.0.0.1:{port}"
        self._orca = Server("orca", command, self.folder)
        self._await(self._orca.start())

    def _await(self, orca: Server) -> None:
        def ready() -> bool:
            try:
                return self._session.get(f"{self.url}/applications/none/pipelines", timeout=2).ok
            except requests.RequestException:
                return False

        orca.wait_for(ready, 120)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._session.request(method, self.url + path, json=body, timeout=30)
        if not answer.ok:
            raise RuntimeError(f"Orca: {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None


def stage_of(execution: Execution, stage: str) -> Stage:
    """A stage of an execution, by refId or name."""
    for each in execution["stages"]:
        if stage in (each.get("refId"), each["name"]):
            return dict(each)
    raise LookupError(f"the execution has no stage {stage}")


def statuses(execution: Execution) -> dict[str, str]:
    """The status of each stage by refId, without those that Orca puts around them."""
    return {each["refId"]: each["status"] for each in execution["stages"] if not each.get("parentStageId")}


def told(execution: Execution) -> str:
    """An execution in lines for people: stages, how they stand, and what went wrong in them."""
    lines = [f"{execution['name']}: {execution['status']}"]
    for stage in execution["stages"]:
        context = stage.get("context") or {}
        webhook = context.get("webhook") or {}
        errors = ((context.get("exception") or {}).get("details") or {}).get("errors") or []
        reasons = [webhook.get("error"), (webhook.get("monitor") or {}).get("error"), *errors]
        reasons += [(task.get("exception") or {}).get("message") for task in context.get("kato.tasks") or []]
        task = next((each["name"] for each in stage.get("tasks") or [] if each["status"] == "RUNNING"), "")
        lines.append(f"  {stage['refId']}: {stage['status']} {task} {' | '.join(str(each) for each in reasons if each)}".rstrip())
    return "\n".join(lines)


def _redis() -> Path:
    built = engines_home() / "orca" / "redis-server"
    return built if built.exists() else binary("redis-server", _BUILD)
