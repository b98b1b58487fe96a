"""What CI and a pipeline say to a console about a release, by plain HTTP."""

from typing import Any

import httpx

from lorafleet.contracts import paths
from lorafleet.contracts.release_api import Registered, StageAnswer
from lorafleet.contracts.site import Site
from tests.unit.console.api.running_console import RunningConsole, soon

DIGEST = f"sha256:{'b' * 64}"


def facts(name: str, registry: str, **changes: Any) -> Site:
    return Site.model_validate(
        {
            "name": name,
            "cloud": "local",
            "region": "here",
            "cluster": {
                "name": "c",
                # Nothing listens there: whether a site lives is told by its workers.
                "endpoint": "https://127.0.0.1:9",
                "ca": "QQ==",
                "identifier": "c",
                "kubeconfig_command": ["true"],
            },
            "namespace": "trainers",
            "registry": registry,
            "object_store": "s3://bucket",
            "gpu_pools": [{"type": "L4", "driver": "580.95.05", "max": 4}],
            "identities": {"trainer": {"service_account": "trainer"}, "spinnaker": "spinnaker"},
            "spinnaker_account": name,
            **changes,
        }
    )


def registration(*sites: str, digest: str = DIGEST, **more: Any) -> dict[str, Any]:
    each = [{"site": site, "strategy": "canary", "target_size": 2, "first_share": "100%"} for site in sites or ("a",)]
    return {
        "application": "lorafleet", "image": "registry.example/fleet/trainer", "digest": digest, "sites": each,
        "conditions": ["errorRate > 5%"], "min_samples": 1, **more,
    }  # fmt: skip


def registered(console: RunningConsole, *sites: str, **more: Any) -> tuple[str, httpx.Client]:
    answer = console.admin.post(paths.RELEASES, json=registration(*sites, **more))
    assert answer.status_code == 201, answer.text
    body = Registered.model_validate(answer.json())
    text = body.token.get_secret_value()
    return body.release, console.anonymous(headers={"Authorization": f"Bearer {text}"})


def polled(pipeline: httpx.Client, path: str, method: str = "POST", **options: Any) -> StageAnswer:
    found: list[StageAnswer] = [StageAnswer.model_validate(pipeline.request(method, path, **options).raise_for_status().json())]

    def done() -> bool:
        found.append(StageAnswer.model_validate(pipeline.get(path).raise_for_status().json()))
        return found[-1].status != "RUNNING"

    if found[-1].status == "RUNNING":
        soon(done)
    return found[-1]
