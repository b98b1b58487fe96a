"""How a release's objects are named and found. The digest is a parameter of the run, hence the SpEL.

These are the only expressions in manifests. The pipeline is pushed once and gets the digest when it is started: Echo may start
the old version of a pipeline for 30 s after a push, and would start the old digest if that were baked in.
"""

from enum import StrEnum

DIGEST = "${parameters.image_digest}"
DIGEST12 = "${parameters.image_digest.substring(7,19)}"
"""Digits 1 to 12 after ``sha256:``, as :func:`lorafleet.contracts.image.digest12` takes them."""

IN_MANIFESTS = frozenset({DIGEST, DIGEST12})
"""What may stand in ``${}`` in a manifest."""

WORKLOAD = f"trainer-{DIGEST12}"
SMOKE_JOB = f"smoke-{DIGEST12}"

COMPONENT_LABEL = "app.kubernetes.io/component"
APPLICATION_LABEL = "app.kubernetes.io/part-of"
RELEASE_LABEL = "lorafleet/release"
TRACK_LABEL = "lorafleet/track"
"""On Deployment and ScaledObject only, never on pods: it changes once, when the candidate has become the stable release. A
take-back selects by it, so that it cannot touch a stable Deployment even when it is given the wrong digest."""

WORKER = "worker"
SMOKE = "smoke"


class TrackValue(StrEnum):
    """Values of :data:`TRACK_LABEL`."""

    CANDIDATE = "candidate"
    STABLE = "stable"


def labels(application: str, component: str) -> dict[str, str]:
    """What every object and pod of a release carries."""
    return {APPLICATION_LABEL: application, COMPONENT_LABEL: component, RELEASE_LABEL: DIGEST12}
