"""Small things that the tests of the Gate client share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.rest import Pace

AT_ONCE = Pace(pause=0.0, longest_pause=0.0, poll=0.0, connect_limit=10.0, read_limit=10.0, write_limit=10.0)
APPLICATION = {"name": "lora-trainer", "email": "lora@example.org", "cloudProviders": "kubernetes"}
DIGEST = f"sha256:{'a' * 64}"
SECRET = "0123456789abcdef0123456789abcdef"
ROOT = Path(__file__).parents[3]
FLEET = ROOT / "fleet.yaml"
FLEET_APPLICATION = "lora-training-platform"

COMPACT = {
    "application": FLEET_APPLICATION,
    "pipeline": {
        "stages": [
            {
                "type": "deploy",
                "clusters": [
                    {"account": "aws-eu-central-1", "container": "lora-scripts:latest", "targetSize": 3, "strategy": "canary"},
                    {"account": "gcp-us-west1", "container": "lora-scripts:latest", "targetSize": 2, "strategy": "bluegreen"},
                ],
            },
            {"type": "monitor", "metricsAccount": "prometheus-prod", "scopes": ["aws", "gcp"]},
            {"type": "rollback", "trigger": "automatic", "conditions": ["errorRate > 5%", "latency > 2s"]},
        ]
    },
}

Called = Callable[..., tuple[int, str, list[str]]]
"""A ``lorafleet release`` command: its exit code, what it printed, and its lines on stderr."""


def pipeline(name: str = "release", number: int = 1, **more: Any) -> dict[str, Any]:
    """A small pipeline of ours."""
    return {
        "schema": "1",
        "application": "lora-trainer",
        "name": name,
        "id": f"00000000-0000-5000-8000-{number:012}",
        "limitConcurrent": True,
        "keepWaitingPipelines": False,
        "spelEvaluator": "v4",
        "tags": [{"name": "managed-by", "value": "lorafleet"}],
        "stages": [{"refId": "wait", "requisiteStageRefIds": [], "type": "wait", "name": "Wait", "waitTime": 5}],
        "triggers": [],
        **more,
    }


def one(lines: list[str]) -> str:
    """The only line, which is an error's."""
    (line,) = lines
    assert line.startswith("error: ")
    return line


def compact(folder: Path) -> Path:
    """The compact form, written into a file."""
    path = folder / "release.json"
    path.write_text(json.dumps(COMPACT))
    return path
