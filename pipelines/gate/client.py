"""Gate's calls that are needed here, one method each. Source of each contract: Gate's controllers of 2026."""

from collections.abc import Mapping
from typing import Any

from pipelines.gate.credentials import CHOICE, Credentials, Kind
from pipelines.rest import NotFound, Pace, Rest, Service, ServiceError

Json = dict[str, Any]


def connect(url: str, credentials: Credentials, pace: Pace | None = None) -> "Gate":
    """A client; nothing is sent yet."""
    sent = "no credentials were sent" if credentials.kind is Kind.NONE else f"sent were those of {credentials.variable}"
    service = Service("Gate", url, "gate.url in fleet.yaml, --gate or LORAFLEET_GATE_URL", f"{sent}; {CHOICE}")
    return Gate(Rest(service, credentials.headers, credentials.certificate, pace))


class Gate:
    """Each method may raise a :class:`~pipelines.rest.ServiceError`. Reads are tried again, writes never."""

    def __init__(self, rest: Rest) -> None:
        self.rest = rest

    @property
    def url(self) -> str:
        """Gate's address."""
        return self.rest.service.url

    def application(self, name: str) -> Json | None:
        """The application's attributes, or None where there is no such application."""
        try:
            found = self.rest.get("applications", name, query={"expand": "false"})
        except NotFound:
            return None
        return dict(_object(found).get("attributes") or {})

    def pipelines(self, application: str) -> list[Json]:
        """All pipelines of an application."""
        try:
            found = self.rest.get("applications", application, "pipelineConfigs")
        except NotFound:
            return []
        if not isinstance(found, list):
            raise ServiceError("Gate sent no list of pipelines", hint="is this Gate's API?")
        return [_object(one) for one in found]

    def pipeline(self, application: str, name: str) -> Json | None:
        """A pipeline by its name, or None where there is none."""
        try:
            found = self.rest.get("applications", application, "pipelineConfigs", name)
        except NotFound:
            return None
        return _object(found) if found else None

    def save(self, pipeline: Mapping[str, Any], update_ts: str | None = None) -> None:
        """Save a pipeline: an upsert by its id. With ``update_ts``, only if Gate still holds that version.

        Front50 heeds ``staleCheck`` only since September 2026, so that a caller must compare before and after, too.
        """
        body = dict(pipeline) if update_ts is None else {**pipeline, "updateTs": update_ts}
        self.rest.send("POST", "pipelines", body=body, query=None if update_ts is None else {"staleCheck": "true"})

    def delete(self, application: str, name: str) -> None:
        """Delete a pipeline; one that is not there is no error."""
        self.rest.send("DELETE", "pipelines", application, name)

    def canary_configs(self, application: str, account: str) -> list[Json]:
        """Ids and names of Kayenta's configs of an application; not found where Gate has no Kayenta."""
        found = self.rest.get("v2", "canaryConfig", query={"application": application, "configurationAccountName": account})
        return [_object(one) for one in found or ()]

    def canary_config(self, config: str, account: str) -> Json | None:
        """A whole config, or None where there is none of this id."""
        try:
            return _object(self.rest.get("v2", "canaryConfig", config, query={"configurationAccountName": account}))
        except NotFound:
            return None

    def save_canary_config(self, config: Mapping[str, Any], account: str, *, new: bool) -> None:
        """Store a config under its own id: a new one is refused where that id is taken, else what is there is replaced."""
        path = ("v2", "canaryConfig") if new else ("v2", "canaryConfig", str(config["id"]))
        query = {"configurationAccountName": account}
        self.rest.send("POST" if new else "PUT", *path, body=dict(config), query=query)

    def start_task(self, application: str, description: str, job: Mapping[str, Any]) -> str:
        """Start a task of Orca; the answer is its id."""
        body = {"application": application, "description": description, "job": [dict(job)]}
        return _id(self.rest.send("POST", "tasks", body=body))

    def task(self, task: str) -> Json:
        """How a task stands."""
        return _object(self.rest.get("tasks", task))

    def trigger(self, application: str, name: str, parameters: Mapping[str, str]) -> str:
        """Start a pipeline through Echo, which checks the right to; the answer is the execution's id."""
        body = {"type": "manual", "parameters": dict(parameters)}
        return _id(self.rest.send("POST", "pipelines", "v2", application, name, body=body))

    def execution(self, execution: str) -> Json:
        """How an execution stands."""
        return _object(self.rest.get("pipelines", execution))

    def executions(self, pipeline_id: str, limit: int = 10) -> list[Json]:
        """The newest executions of a pipeline."""
        found = self.rest.get("executions", query={"pipelineConfigIds": pipeline_id, "limit": str(limit)})
        return [_object(one) for one in found or ()]


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise ServiceError("Gate sent something else than was asked for", hint="is this Gate's API?")
    return value


def _id(answer: Any) -> str:
    reference = str(_object(answer).get("ref") or "")
    if not reference:
        raise ServiceError("Gate did not say what it started", hint="look at the newest executions in Spinnaker")
    return reference.rsplit("/", 1)[-1]
