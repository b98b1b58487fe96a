"""Fleets for these tests."""

from functools import cache
from pathlib import Path
from typing import Any

from lorafleet.contracts.document import parse, validate
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.site import Site
from pipelines.compile import compile_fleet
from pipelines.model.pipeline import Pipeline

ROOT = Path(__file__).parents[3]
DIGEST = "sha256:" + "0123456789ab" * 5 + "cdef"
D12 = "0123456789ab"
PARAMETERS = {"image_digest": DIGEST, "release": "r1", "console_token": "t0k3n"}


@cache
def sites() -> dict[str, Site]:
    """The examples of the repository."""
    return {path.stem: Site.model_validate_json(path.read_text()) for path in sorted((ROOT / "sites").glob("*.json"))}


def example() -> FleetSpec:
    """The repository's ``fleet.yaml``."""
    return validate(FleetSpec, parse((ROOT / "fleet.yaml").read_text(), "fleet.yaml"))


def fleet(*clusters: dict[str, Any], **keys: Any) -> FleetSpec:
    """A small fleet."""
    names = [cluster["site"] for cluster in clusters]
    plan = {key: keys.pop(key) for key in ("watch", "warm", "drain", "quorum") if key in keys}
    return FleetSpec.model_validate(
        {
            "application": "loras",
            "image": "registry.example.org/example/lora-trainer",
            "console": {"url": "https://fleet.example.org"},
            "sites": names,
            "home": names[0],
            "release": {"clusters": list(clusters), **plan},
            **keys,
        }
    )


def cluster(site: str, strategy: str = "canary", size: int = 2, **more: Any) -> dict[str, Any]:
    """One site of a release."""
    return {"site": site, "targetSize": size, "strategy": strategy, **more}


def with_canary(spec: FleetSpec, **canary: Any) -> FleetSpec:
    """The same fleet with an analysis by Kayenta."""
    values = spec.model_dump(mode="json")
    asked = {"storageAccount": "canary-results", **canary}
    values["monitor"] = {**values["monitor"], "metricsAccount": "prometheus-prod", "canary": asked}
    return FleetSpec.model_validate(values)


def compiled(spec: FleetSpec) -> tuple[Pipeline, Pipeline]:
    """Its pipelines: release, rollback."""
    release, rollback = compile_fleet(spec, sites()).pipelines
    return release, rollback
