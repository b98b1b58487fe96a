"""What can be wrong with pods, as kwok stages that go before the usual ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# With a weight on one of the matching stages, kwok takes none that has no weight.
_FIRST = 1


class Failure(StrEnum):
    """How a pod goes wrong."""

    CRASHES = "crashes"
    NOT_READY = "not-ready"
    NO_IMAGE = "no-image"


@dataclass(frozen=True)
class Fault:
    """Pods with all of ``labels`` whose image ends in ``image_ends`` fail in this way; empty means any.

    A crashing pod of a Job fails at once; of a Deployment it goes into CrashLoopBackOff, with the exit code and the last words of the
    container where kubectl shows them.
    """

    name: str
    failure: Failure
    labels: Mapping[str, str] = field(default_factory=dict)
    image_ends: str = ""
    owner: str = ""
    exit_code: int = 69
    message: str = "CUDA initialization failed: no NVIDIA driver that this image can use"

    def stages(self) -> list[dict[str, Any]]:
        """The kwok Stage resources of this fault."""
        match self.failure:
            case Failure.CRASHES:
                if self.owner == "Job":
                    return [self._stage("job", "Job", self._failed())]
                if self.owner:
                    return [self._stage("pod", self.owner, self._looping())]
                return [self._stage("job", "Job", self._failed()), self._stage("pod", "", self._looping())]
            case Failure.NOT_READY:
                return [self._stage("pod", self.owner, _status("False", "{running: {startedAt: {{ Now | Quote }}}}"))]
            case Failure.NO_IMAGE:
                waiting = "{waiting: {reason: ImagePullBackOff, message: the registry has no such manifest}}"
                return [self._stage("pod", self.owner, _status("False", waiting, phase="Pending"))]

    def _looping(self) -> str:
        waiting = "{waiting: {reason: CrashLoopBackOff, message: back-off restarting failed container}}"
        return _status("False", waiting, f"lastState: {{terminated: {self._end()}}}\n  restartCount: 2")

    def _failed(self) -> str:
        return _status("False", f"{{terminated: {self._end()}}}", phase="Failed")

    def _end(self) -> str:
        times = "startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}"
        return f"{{exitCode: {self.exit_code}, reason: Error, message: {self.message!r}, {times}}}"

    def _stage(self, suffix: str, owner: str, status: str) -> dict[str, Any]:
        expressions: list[dict[str, Any]] = [
            {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
            {"key": ".status.podIP", "operator": "DoesNotExist"},
            {"key": '.status.conditions.[] | select(.type == "Ready") | .status', "operator": "DoesNotExist"},
        ]
        if owner:
            expressions.append({"key": ".metadata.ownerReferences.[].kind", "operator": "In", "values": [owner]})
        elif suffix == "pod" and self.failure is Failure.CRASHES:
            expressions.append({"key": ".metadata.ownerReferences.[].kind", "operator": "NotIn", "values": ["Job"]})
        if self.image_ends:
            ends = f'.spec.containers.[] | .image | endswith("{self.image_ends}") | tostring'
            expressions.append({"key": ends, "operator": "In", "values": ["true"]})
        return {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Stage",
            "metadata": {"name": f"{self.name}-{suffix}"},
            "spec": {
                "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
                "selector": {"matchLabels": dict(self.labels), "matchExpressions": expressions},
                "delay": {"durationMilliseconds": 500},
                "weight": _FIRST,
                "next": {"statusTemplate": status},
            },
        }


def _status(ready: str, state: str, more: str = "restartCount: 0", phase: str = "Running") -> str:
    return f"""phase: {phase}
startTime: {{{{ Now | Quote }}}}
hostIP: {{{{ NodeIPWith .spec.nodeName | Quote }}}}
podIP: {{{{ PodIPWith .spec.nodeName false (or .metadata.uid "") (or .metadata.name "") (or .metadata.namespace "") | Quote }}}}
conditions:
- {{type: Initialized, status: "True", lastTransitionTime: {{{{ Now | Quote }}}}}}
- {{type: Ready, status: "{ready}", reason: ContainersNotReady, lastTransitionTime: {{{{ Now | Quote }}}}}}
- {{type: ContainersReady, status: "{ready}", reason: ContainersNotReady, lastTransitionTime: {{{{ Now | Quote }}}}}}
containerStatuses:
{{{{ range .spec.containers }}}}
- name: {{{{ .name | Quote }}}}
  image: {{{{ .image | Quote }}}}
  ready: false
  started: {"true" if ready == "True" else "false"}
  state: {state}
  {more}
{{{{ end }}}}
"""
