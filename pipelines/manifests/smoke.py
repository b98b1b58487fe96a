"""The smoke Job: does the image reach the GPU and train at all? Asked before it gets a single request."""

from datetime import timedelta
from typing import Any

from pipelines.manifests.pod import SCRATCH, Container, pod_spec
from pipelines.manifests.release import SMOKE, SMOKE_JOB, labels
from pipelines.manifests.worker import Workers

# The Job's log is for people; Kubernetes deletes it a day later.
_KEPT = timedelta(days=1)


def smoke_job(workers: Workers, limit: timedelta) -> dict[str, Any]:
    """``lorafleet doctor`` with its tiny training, once. ``limit`` includes pulling the image and waiting for a node."""
    site = workers.site
    own = labels(workers.application, SMOKE)
    identity = site.identities.trainer
    env = {"HOME": SCRATCH, "LORAFLEET_WORK_DIR": SCRATCH}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": SMOKE_JOB,
            "namespace": site.namespace,
            "labels": own,
            # The same digest may be tried again while the Job of the last try is still there, and a Job cannot be changed.
            "annotations": {"strategy.spinnaker.io/recreate": "true"},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": limit // timedelta(seconds=1),
            "ttlSecondsAfterFinished": _KEPT // timedelta(seconds=1),
            "template": {
                "metadata": {"labels": {**identity.pod_labels, **own}, "annotations": dict(identity.annotations)},
                "spec": pod_spec(
                    site,
                    workers.image_name,
                    (Container("doctor", ("doctor", "--require-gpu", "--train"), env),),
                    resources=workers.resources,
                    restartPolicy="Never",
                    terminationGracePeriodSeconds=5,
                ),
            },
        },
    }
