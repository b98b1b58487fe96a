"""A stand-in for Clouddriver's Kubernetes provider: the same REST, operations that run real kubectl with an account's kubeconfig.

It lives outside Orca's process, as Clouddriver does: an operation goes on while Orca is dead.
"""

import json
import os
import subprocess
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.engines.orca.http_server import Answer, JsonServer
from tests.engines.orca.manifests import (
    Manifest,
    NotStoodIn,
    annotations,
    artifact,
    full_name,
    images,
    job_failure,
    kind_of,
    ordered,
    prepared,
    split_name,
    state,
)

_NOT_FOUND = "(NotFound)"


class KubectlError(Exception):
    """kubectl refused, or its API could not be reached."""


class Clouddriver:
    """``accounts`` maps an account to a kubeconfig. ``timeout`` is the account setting kubectlRequestTimeoutSeconds; None: none."""

    def __init__(self, accounts: Mapping[str, Path], timeout: int | None = None) -> None:
        self.accounts = dict(accounts)
        self._timeout = timeout
        self._tasks: dict[str, dict[str, Any]] = {}
        self._requests: dict[str, str] = {}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "deployManifest": self._deploy,
            "deleteManifest": self._delete,
            "scaleManifest": self._scale,
            "patchManifest": self._patch,
            "undoRolloutManifest": self._undo,
            "runJob": self._run_job,
            "cleanupArtifacts": lambda _: {},
        }
        self._server = JsonServer(self._handle)
        self.url = self._server.url

    def close(self) -> None:
        self._server.close()
        for process in list(self._running):
            process.kill()

    def _handle(self, method: str, path: list[str], query: Mapping[str, str], body: Any) -> Answer:
        try:
            match (method, *path):
                case ("POST", "kubernetes", "ops"):
                    return 200, {"id": self._submit(query.get("clientRequestId", str(uuid.uuid4())), body)}
                case ("GET", "task", task):
                    return (200, self._tasks[task]) if task in self._tasks else (404, {"error": "no such task"})
                case ("GET", "manifests", account, location, name):
                    return self._manifest(account, location, name)
                case ("GET", "applications", _, "jobs", account, location, name):
                    return self._job(account, location, name)
        except (KubectlError, KeyError) as error:
            return 500, {"error": str(error)}
        except NotStoodIn as error:
            return 501, {"error": f"not stood in for: {error}"}
        return 404, {"error": "not found"}

    def _submit(self, request: str, body: list[dict[str, Mapping[str, Any]]]) -> str:
        with self._lock:
            if request in self._requests:
                return self._requests[request]
            task = self._requests[request] = str(uuid.uuid4())
            self._tasks[task] = _task(task, [], completed=False, failed=False)
        threading.Thread(target=self._operate, args=(task, body), daemon=True).start()
        return task

    def _operate(self, task: str, body: list[dict[str, Mapping[str, Any]]]) -> None:
        results: list[dict[str, Any]] = []
        try:
            for operation in body:
                for name, description in operation.items():
                    if description["account"] not in self.accounts:
                        raise KeyError(f"no account named {description['account']}")
                    results.append(self._operations[name](description))
            self._tasks[task] = _task(task, results, completed=True, failed=False)
        except Exception as error:  # noqa: BLE001  (what fails in an operation is its result)
            failure = {"type": "EXCEPTION", "cause": type(error).__name__, "message": str(error) or traceback.format_exc()}
            self._tasks[task] = _task(task, [*results, failure], completed=True, failed=True)

    def _deploy(self, description: Mapping[str, Any]) -> dict[str, Any]:
        account = description["account"]
        deployed = [self._apply(account, prepared(each, description)) for each in ordered(list(description["manifests"]))]
        names: dict[str, list[str]] = {}
        for manifest in deployed:
            names.setdefault(manifest["metadata"].get("namespace", ""), []).append(full_name(manifest))
        return {
            "manifests": deployed,
            "manifestNamesByNamespace": names,
            "createdArtifacts": [artifact(manifest, account) for manifest in deployed],
            "boundArtifacts": [],
        }

    def _apply(self, account: str, manifest: Manifest) -> Manifest:
        notes = annotations(manifest)
        text = json.dumps(manifest)
        metadata = manifest["metadata"]
        if "name" not in metadata and "generateName" in metadata:
            return self._read(account, ["create", "-f", "-"], text)
        if notes.get("strategy.spinnaker.io/recreate") == "true":
            words = ["delete", kind_of(manifest), metadata["name"], "-n", metadata["namespace"], "--ignore-not-found=true"]
            self._kubectl(account, words)
            return self._read(account, ["create", "-f", "-"], text)
        if notes.get("strategy.spinnaker.io/replace") == "true":
            return self._read(account, ["replace", "-f", "-"], text)
        match notes.get("strategy.spinnaker.io/server-side-apply"):
            case "true":
                return self._read(account, ["apply", "--server-side=true", "-f", "-"], text)
            case "force-conflicts":
                return self._read(account, ["apply", "--server-side=true", "--force-conflicts=true", "-f", "-"], text)
        return self._read(account, ["apply", "-f", "-"], text)

    def _run_job(self, description: Mapping[str, Any]) -> dict[str, Any]:
        manifest = dict(description["manifest"])
        if manifest["kind"] != "Job":
            raise ValueError("Only kind of Job is accepted for the Run Job operation.")
        notes = {**annotations(manifest), "strategy.spinnaker.io/recreate": "true"}
        manifest["metadata"] = {**(manifest.get("metadata") or {}), "annotations": notes}
        deployed = self._deploy({**description, "manifests": [manifest], "moniker": {"app": description["application"]}})
        return {**deployed, "deployedNamesByLocation": deployed["manifestNamesByNamespace"]}

    def _delete(self, description: Mapping[str, Any]) -> dict[str, Any]:
        account, location = description["account"], description["location"]
        options = description.get("options") or {}
        words = ["--ignore-not-found=true"]
        if (cascade := _cascade(options)) is not None:
            words.append(f"--cascade={cascade}")
        if options.get("gracePeriodSeconds") is not None:
            words.append(f"--grace-period={options['gracePeriodSeconds']}")
        if description.get("manifestName"):
            kind, name = split_name(description["manifestName"])
            targets = [[kind, name]]
        else:
            selector = _selector(description.get("labelSelectors") or {})
            targets = [[kind, "--selector=" + selector] for kind in description.get("kinds") or []]
            if not targets or not selector:
                raise ValueError("a deletion without a name needs kinds and label selectors")
        for target in targets:
            self._kubectl(account, ["delete", *target, "-n", location, *words])
        return {}

    def _scale(self, description: Mapping[str, Any]) -> dict[str, Any]:
        kind, name = split_name(description["manifestName"])
        replicas = int(description.get("replicas") or 0)
        self._kubectl(description["account"], ["scale", kind, name, "-n", description["location"], f"--replicas={replicas}"])
        return {}

    def _patch(self, description: Mapping[str, Any]) -> dict[str, Any]:
        kind, name = split_name(description["manifestName"])
        body = description["patchBody"]
        if not isinstance(body, list):
            raise ValueError("Cannot deserialize value of type `java.util.List` from patchBody")
        strategy = (description.get("options") or {}).get("mergeStrategy") or "strategic"
        patch = json.dumps(body if strategy == "json" else body[0])
        location = description["location"]
        words = ["patch", kind, name, "-n", location, f"--type={strategy}", f"--patch={patch}"]
        patched = self._read(description["account"], words)
        return {
            "manifests": [patched],
            "manifestNamesByNamespace": {location: [full_name(patched)]},
            "createdArtifacts": [],
            "boundArtifacts": [],
        }

    def _undo(self, description: Mapping[str, Any]) -> dict[str, Any]:
        kind, name = split_name(description["manifestName"])
        account, where = description["account"], ["-n", description["location"]]
        if kind.lower() != "deployment":
            raise ValueError(f"Resource with {kind} does not support undo rollout")
        revision = description.get("revision")
        if not revision:
            back = description.get("numRevisionsBack")
            if back is None:
                raise ValueError("Either a revision or a number of revisions back is needed")
            lines = self._kubectl(account, ["rollout", "history", f"{kind}/{name}", *where]).splitlines()[2:]
            revisions = [int(line.split()[0]) for line in lines if line.strip()]
            if int(back) >= len(revisions):
                raise ValueError(f"There are {len(revisions)} revision(s) in total, cannot rollback {back}")
            revision = sorted(revisions)[-1 - int(back)]
        self._kubectl(account, ["rollout", "undo", f"{kind}/{name}", *where, f"--to-revision={revision}"])
        return {}

    def _manifest(self, account: str, location: str, name: str) -> Answer:
        found = self._find(account, location, *split_name(name))
        if found is None:
            return 404, {"error": f"{name} in {location}, account {account}: not found"}
        where = {"account": account, "location": location, "name": name}
        return 200, {**where, "manifest": found, "status": state(found), "artifacts": images(found), "events": [], "warnings": []}

    def _job(self, account: str, location: str, name: str) -> Answer:
        kind, name = split_name(name) if " " in name else ("job", name)
        job = self._find(account, location, kind, name)
        if job is None:
            return 404, {"error": f"job {name} in {location}, account {account}: not found"}
        judged = state(job)
        failure = job_failure(job)
        pods = self._read(account, ["get", "pod", "-n", location, f"--selector=job-name={name}"])["items"]
        ended = [
            container["state"]["terminated"]
            for pod in pods
            for container in (pod.get("status") or {}).get("containerStatuses") or []
            if "terminated" in container.get("state", {})
        ]
        last = ended[0] if ended else {}
        return 200, {
            "name": name,
            "account": account,
            "location": location,
            "provider": "kubernetes",
            "jobState": "Failed" if failure else "Succeeded" if judged["stable"]["state"] else "Running",
            "message": failure,
            "reason": next(
                (each.get("reason") for each in job["status"].get("conditions") or [] if each["type"] == "Failed"), None
            ),
            "completionDetails": {"exitCode": str(last.get("exitCode", "")), "reason": last.get("reason", ""), "signal": ""},
            "failureDetails": f"Exit code {last['exitCode']}: {last.get('message', '')}" if failure and last else "",
            "pods": [{"name": pod["metadata"]["name"], "status": pod.get("status")} for pod in pods],
        }

    def _find(self, account: str, location: str, kind: str, name: str) -> Manifest | None:
        try:
            return self._read(account, ["get", kind, name, "-n", location])
        except KubectlError as error:
            if _NOT_FOUND in str(error):
                return None
            raise

    def _read(self, account: str, words: list[str], stdin: str | None = None) -> Manifest:
        found: Manifest = json.loads(self._kubectl(account, [*words, "-o", "json"], stdin))
        return found

    def _kubectl(self, account: str, words: list[str], stdin: str | None = None) -> str:
        command = ["kubectl", f"--kubeconfig={self.accounts[account]}"]
        if self._timeout is not None:
            command.append(f"--request-timeout={self._timeout}")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.accounts[account].parent)}
        pipe = subprocess.PIPE
        with subprocess.Popen([*command, *words], env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            self._running.add(process)
            try:
                out, err = process.communicate(stdin)
            finally:
                self._running.discard(process)
        if process.returncode:
            raise KubectlError(err.strip())
        return out


def _task(task: str, results: list[dict[str, Any]], *, completed: bool, failed: bool) -> dict[str, Any]:
    phase = {"phase": "ORCHESTRATION", "status": "done" if completed else "running"}
    status = {**phase, "completed": completed, "failed": failed, "retryable": False}
    return {"id": task, "status": status, "history": [phase], "resultObjects": results, "outputs": []}


def _cascade(options: Mapping[str, Any]) -> str | None:
    if options.get("orphanDependents") is not None:
        return "orphan" if options["orphanDependents"] else "background"
    if options.get("cascading") is not None:
        return "background" if options["cascading"] else "orphan"
    return None


def _selector(selectors: Mapping[str, Any]) -> str:
    """Label selectors as kubectl writes them."""
    written = []
    for each in selectors.get("selectors") or []:
        key, values = each["key"], ",".join(each.get("values") or [])
        match each["kind"]:
            case "ANY":
                continue
            case "EQUALS":
                written.append(f"{key}={values}")
            case "NOT_EQUALS":
                written.append(f"{key}!={values}")
            case "CONTAINS":
                written.append(f"{key} in ({values})")
            case "NOT_CONTAINS":
                written.append(f"{key} notin ({values})")
            case "EXISTS":
                written.append(key)
            case "NOT_EXISTS":
                written.append(f"!{key}")
            case kind:
                raise ValueError(f"'{kind}' is no kind of label selector")
    return ",".join(written)
