"""Which images of others the stack runs, by digest: one table, which a mirror and the configuration's own digests override.

The digests are those under which public repositories pin these versions; `skopeo inspect docker://IMAGE` shows a registry's own.
"""

from collections.abc import Mapping

from infra.incluster.config import Images
from lorafleet.contracts.image import ImageReference, parse_image

PROMETHEUS = "prometheus"
DEVICE_PLUGIN = "k8s-device-plugin"
DCGM_EXPORTER = "dcgm-exporter"
AUTOSCALER = "cluster-autoscaler"
S3_SERVER = "versitygw"

TABLE: Mapping[str, ImageReference] = {
    image.name: image
    for image in map(
        parse_image,
        (
            "docker.io/prom/prometheus:v3.5.0@sha256:63805ebb8d2b3920190daf1cb14a60871b16fd38bed42b857a3182bc621f4996",
            "nvcr.io/nvidia/k8s-device-plugin:v0.19.3@sha256:d6c456ffe537914357240e6641a40dfb5540822f9d3bee52788da5ec0646c551",
            "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless"
            "@sha256:e9030b4fca0c8f110032f3b151b030e7e9db56604b407cf79631e1a3218b35e0",
            "registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.0"
            "@sha256:2fc9433dd3b47baef0e68d6b1110b770a3c93db10c7bead4c5bc6cb21c72b875",
            "ghcr.io/versity/versitygw:v1.8.0@sha256:30292fc2eeacc67a36993b01f7a7a5e3361a19cced0e80c1d71cfa2a4b0a2499",
        ),
    )
}
"""By the last part of the name."""


def image(name: str, images: Images) -> str:
    """The reference that a pod is given, always with a digest."""
    known = TABLE[name]
    if name in images.digests:
        known = known.pinned(images.digests[name])
    return str(known.copied_to(images.registry) if images.registry else known)
