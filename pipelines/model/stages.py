"""Stages. Each has a time limit, since a stage without one may hang for hours; parents are stages, never names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

from pipelines.model.expressions import Expression
from pipelines.model.failure import FailureStrategy
from pipelines.model.people import ExecutionWindow, StageNotification

Json = dict[str, Any]


class Role(StrEnum):
    """What a stage is there for. It never reaches Spinnaker: pictures and the budget of a rollback read it."""

    CHECK = "check"
    APPROVAL = "approval"
    DEPLOY = "deploy"
    SHARE = "share"
    WATCH = "watch"
    REVOKE = "revoke"
    REMOVE = "remove"
    NOTICE = "notice"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What all stages have.

    ``limit`` is looked at on a task's polls only, so a stage may outlast it by one poll. ``enabled`` is judged when the stage
    would start; a stage that is not enabled is SKIPPED, which counts as success for what follows.
    """

    type: ClassVar[str]

    ref_id: str
    name: str
    role: Role
    limit: timedelta
    parents: tuple["Stage", ...] = ()
    failure: FailureStrategy = FailureStrategy.HALT_PIPELINE
    enabled: Expression | None = None
    window: ExecutionWindow | None = None
    notifications: tuple[StageNotification, ...] = ()
    comments: str = ""

    def _body(self) -> Json:
        """What only this type of stage has."""
        raise NotImplementedError

    def to_json(self) -> Json:
        """The stage as Spinnaker stores it."""
        stage: Json = {
            "refId": self.ref_id,
            "requisiteStageRefIds": [parent.ref_id for parent in self.parents],
            "type": self.type,
            "name": self.name,
            # Orca reads the limit as a number only; older ones look at it only beside overrideTimeout.
            "overrideTimeout": True,
            "stageTimeoutMs": self.limit // timedelta(milliseconds=1),
            **self.failure.to_json(),
            **self._body(),
        }
        if self.enabled is not None:
            stage["stageEnabled"] = {"type": "expression", "expression": self.enabled}
        if self.window is not None:
            stage |= self.window.to_json()
        if self.notifications:
            stage["sendNotifications"] = True
            stage["notifications"] = [notification.to_json() for notification in self.notifications]
        if self.comments:
            stage["comments"] = self.comments
        return stage


@dataclass(frozen=True, kw_only=True)
class CheckPreconditions(Stage):
    """Goes on if the expression holds, and fails if not. Orca puts ``${}`` around it."""

    type: ClassVar[str] = "checkPreconditions"
    expression: Expression

    def _body(self) -> Json:
        """Without ``failPipeline`` the inner check ends STOPPED, whatever the stage's own flags say."""
        return {"preconditions": [{"type": "expression", "failPipeline": True, "context": {"expression": self.expression}}]}


@dataclass(frozen=True, kw_only=True)
class EvaluateVariables(Stage):
    """Names values for later stages; ``variables`` are SpEL in ``${}`` or plain text."""

    type: ClassVar[str] = "evaluateVariables"
    variables: Mapping[str, str]

    def _body(self) -> Json:
        return {
            "failOnFailedExpressions": True,
            "variables": [{"key": key, "value": value} for key, value in self.variables.items()],
        }


@dataclass(frozen=True, kw_only=True)
class Wait(Stage):
    """Lets time pass."""

    type: ClassVar[str] = "wait"
    length: timedelta

    def _body(self) -> Json:
        return {"waitTime": self.length // timedelta(seconds=1)}


@dataclass(frozen=True, kw_only=True)
class ManualJudgment(Stage):
    """A person says yes or no; no is a failure. Nobody in ``roles``: whoever may run the pipeline."""

    type: ClassVar[str] = "manualJudgment"
    instructions: str
    roles: tuple[str, ...] = ()

    def _body(self) -> Json:
        return {
            "instructions": self.instructions,
            "judgmentInputs": [],
            "selectedStageRoles": list(self.roles),
            "propagateAuthenticationContext": False,
        }


class Polling(StrEnum):
    """Which address a webhook stage polls."""

    SAME_URL = "getMethod"
    ANSWERED_URL = "webhookResponse"


@dataclass(frozen=True, kw_only=True)
class Poll:
    """How the answer is read, once a second for a minute and then every 15 s (``MonitorWebhookTask`` of Orca)."""

    url: Polling = Polling.SAME_URL
    status: str = "$.status"
    success: str = "PASS"
    failure: str = "FAIL"
    progress: str = "$.detail"
    only: bool = False
    """Nothing is called first; the stage's own address is polled by GET."""


@dataclass(frozen=True, kw_only=True)
class Webhook(Stage):
    """Calls an address; with ``poll`` it then waits for a verdict.

    A 4xx and a refused connection fail it at once, 5xx and time-outs are tried again until :attr:`Stage.limit`.
    """

    type: ClassVar[str] = "webhook"
    method: str
    url: str
    headers: Mapping[str, str]
    payload: Mapping[str, Any] | None = None
    poll: Poll | None = None

    def _body(self) -> Json:
        body: Json = {"method": self.method, "url": self.url, "customHeaders": dict(self.headers)}
        if self.payload is not None:
            body["payload"] = dict(self.payload)
        if self.poll is None:
            return body | {"waitForCompletion": False}
        body |= {
            "waitForCompletion": True,
            "statusUrlResolution": self.poll.url.value,
            "statusJsonPath": self.poll.status,
            "successStatuses": self.poll.success,
            "terminalStatuses": self.poll.failure,
        }
        if self.poll.progress:
            body["progressJsonPath"] = self.poll.progress
        if self.poll.url is Polling.ANSWERED_URL:
            body["statusUrlJsonPath"] = "$.statusUrl"
        if self.poll.only:
            body |= {"monitorOnly": True, "statusEndpoint": self.url}
        return body


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Spinnaker's account of a cluster, and the namespace that is worked in."""

    account: str
    namespace: str
    application: str


@dataclass(frozen=True, kw_only=True)
class DeployManifest(Stage):
    """Applies manifests and waits until they are stable."""

    type: ClassVar[str] = "deployManifest"
    cluster: Cluster
    manifests: Sequence[Json]

    def _body(self) -> Json:
        """Binding is off: a bound artifact overwrites an image pinned by digest (``Replacer`` of Clouddriver)."""
        return {
            "account": self.cluster.account,
            "cloudProvider": "kubernetes",
            "moniker": {"app": self.cluster.application},
            "namespaceOverride": self.cluster.namespace,
            "source": "text",
            "manifests": list(self.manifests),
            "skipExpressionEvaluation": False,
            "enableArtifactBinding": False,
            "requiredArtifactIds": [],
            "requiredArtifacts": [],
            "stableManifestTimeoutMinutes": max(1, self.limit // timedelta(minutes=1)),
            "trafficManagement": {
                "enabled": False,
                "options": {"enableTraffic": False, "services": [], "namespace": self.cluster.namespace, "strategy": "none"},
            },
        }


@dataclass(frozen=True, kw_only=True)
class RunJobManifest(Stage):
    """Runs one Job to its end."""

    type: ClassVar[str] = "runJobManifest"
    cluster: Cluster
    manifest: Json

    def _body(self) -> Json:
        return {
            "alias": "runJob",
            "account": self.cluster.account,
            "credentials": self.cluster.account,
            "application": self.cluster.application,
            "cloudProvider": "kubernetes",
            "source": "text",
            "manifest": self.manifest,
            "consumeArtifactSource": "none",
            "waitForCompletion": True,
        }


class Match(StrEnum):
    """How a label is compared (``KubernetesSelector`` of Clouddriver)."""

    EQUALS = "EQUALS"
    NOT_EQUALS = "NOT_EQUALS"


@dataclass(frozen=True)
class Selector:
    """One condition on a label."""

    key: str
    match: Match
    value: str

    def to_json(self) -> Json:
        """As Clouddriver reads it."""
        return {"kind": self.match.value, "key": self.key, "values": [self.value]}


@dataclass(frozen=True, kw_only=True)
class DeleteManifest(Stage):
    """Deletes what the labels select, in the order of the kinds; finding nothing is a success."""

    type: ClassVar[str] = "deleteManifest"
    cluster: Cluster
    kinds: tuple[str, ...]
    selectors: tuple[Selector, ...] = field(default=())

    def _body(self) -> Json:
        return {
            "account": self.cluster.account,
            "app": self.cluster.application,
            "cloudProvider": "kubernetes",
            "location": self.cluster.namespace,
            "mode": "label",
            "kinds": list(self.kinds),
            "labelSelectors": {"selectors": [selector.to_json() for selector in self.selectors]},
            "options": {"cascading": True},
        }
