"""The workers of one release in one site: a Deployment that never changes, and the ScaledObject that sizes it."""

from dataclasses import dataclass, field
from typing import Any

from lorafleet.contracts.metrics import DESIRED_WORKERS
from lorafleet.contracts.site import Site
from pipelines.manifests.pod import SCRATCH, SHARED, Container, Resources, pod_spec
from pipelines.manifests.release import DIGEST, TRACK_LABEL, WORKER, WORKLOAD, TrackValue, labels

# The shortest notice that a cloud gives before it takes a spot machine (GCP and Azure, 30 s): a worker that hands its job back in
# this time does so everywhere. It is part of a rollback's worst case too.
GRACE_SECONDS = 30
PROGRESS_DEADLINE_SECONDS = 540
PROBE_SECONDS = 15

ENROLMENT_SECRET = "lorafleet-enrolment"  # noqa: S105
"""The Secret in the site's namespace, made by infra, with the site's enrolment credential under the key ``credential``."""
CREDENTIAL_FOLDER = "/var/run/lorafleet"

POLLING_SECONDS = 5
COOLDOWN_SECONDS = 30


@dataclass(frozen=True)
class Workers:
    """What the manifests are made of. ``most`` is the number of workers once promoted."""

    application: str
    site: Site
    image_name: str
    console_url: str
    most: int
    resources: Resources = field(default_factory=Resources)

    @property
    def scaled(self) -> bool:
        """Whether KEDA sets the number of workers; it asks the site's Prometheus."""
        return self.site.prometheus is not None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a release leaves behind in the site, in the order in which it is deleted."""
        return ("deployment", "ScaledObject.keda.sh") if self.scaled else ("deployment",)

    def manifests(self, track: TrackValue) -> list[dict[str, Any]]:
        """Everything that is applied."""
        return [deployment(self, track), *([scaled_object(self, track)] if self.scaled else [])]


def _metadata(workers: Workers, track: TrackValue) -> dict[str, Any]:
    return {
        "name": WORKLOAD,
        "namespace": workers.site.namespace,
        "labels": {**labels(workers.application, WORKER), TRACK_LABEL: track.value},
        "annotations": {"lorafleet/digest": DIGEST},
    }


def deployment(workers: Workers, track: TrackValue) -> dict[str, Any]:
    """The Deployment. Without ``replicas`` where KEDA rules, or each apply would undo what KEDA has set."""
    identity = workers.site.identities.trainer
    selector = labels(workers.application, WORKER)
    spec: dict[str, Any] = {
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
        "selector": {"matchLabels": selector},
        # A GPU is not to be had twice for a rolling replacement.
        "strategy": {"type": "Recreate"},
        "template": {
            "metadata": {"labels": {**identity.pod_labels, **selector}, "annotations": dict(identity.annotations)},
            "spec": _pod(workers, selector),
        },
    }
    if not workers.scaled:
        spec["replicas"] = workers.most
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(workers, track), "spec": spec}


def _pod(workers: Workers, selector: dict[str, str]) -> dict[str, Any]:
    env = {
        "LORAFLEET_CONSOLE": workers.console_url,
        "LORAFLEET_SITE": workers.site.name,
        "LORAFLEET_RELEASE": DIGEST,
        "LORAFLEET_CREDENTIAL_FILE": f"{CREDENTIAL_FOLDER}/credential",
        "LORAFLEET_WORK_DIR": SCRATCH,
        "HOME": SCRATCH,
    }
    if workers.resources.gpus > 1:
        env["LORAFLEET_GPUS"] = str(workers.resources.gpus)
    if workers.site.shared_volume is not None:
        env |= {"LORAFLEET_MODELS": SHARED, "LORAFLEET_CACHE": f"{SHARED}/cache"}

    def probe(word: str, **how: int) -> dict[str, Any]:
        # The worker listens on no port; it says how it is in a file of its work folder. Where others take the processors, reading it
        # takes seconds, and a probe that is too slow would end a training that is not.
        return {"exec": {"command": ["lorafleet", "worker", "--probe", word]}, "timeoutSeconds": PROBE_SECONDS, **how}

    container = Container(
        name="worker",
        words=("worker",),
        env=env,
        mounts=({"name": "enrolment", "mountPath": CREDENTIAL_FOLDER, "readOnly": True},),
        extra={
            # Importing torch and the first CUDA context take their time; after that a silent minute is a dead worker.
            "startupProbe": probe("live", periodSeconds=5, failureThreshold=60),
            "readinessProbe": probe("ready", periodSeconds=5, failureThreshold=3),
            "livenessProbe": probe("live", periodSeconds=15, failureThreshold=4),
        },
    )
    secret = {
        "name": "enrolment",
        "secret": {
            "secretName": ENROLMENT_SECRET,
            "defaultMode": 0o440,
            "items": [{"key": "credential", "path": "credential"}],
        },
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector},
    }
    return pod_spec(
        workers.site,
        workers.image_name,
        (container,),
        resources=workers.resources,
        volumes=(secret,),
        terminationGracePeriodSeconds=GRACE_SECONDS,
        topologySpreadConstraints=[spread, {**spread, "topologyKey": "topology.kubernetes.io/zone"}],
    )


def scaled_object(workers: Workers, track: TrackValue) -> dict[str, Any]:
    """KEDA's ScaledObject: as many workers as the console wants, between none and the target size.

    ``ignoreNullValues`` is off: a Prometheus without the metric is an error that leaves the workers alone, not a zero that stops
    all training.
    """
    query = f'max({DESIRED_WORKERS.name}{{site="{workers.site.name}",release="{DIGEST}"}})'
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _metadata(workers, track),
        "spec": {
            "scaleTargetRef": {"name": WORKLOAD},
            "minReplicaCount": 0,
            "maxReplicaCount": workers.most,
            "pollingInterval": POLLING_SECONDS,
            "cooldownPeriod": COOLDOWN_SECONDS,
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": COOLDOWN_SECONDS}},
                },
            },
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": workers.site.prometheus,
                        "query": query,
                        "threshold": "1",
                        "activationThreshold": "0",
                        "ignoreNullValues": "false",
                    },
                }
            ],
        },
    }
